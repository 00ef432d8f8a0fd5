//! The heap of this process: one for all threads, given back when it shrinks (`mallopt(3)`).
//!
//! glibc gives each of the many threads that wait for devices a heap of its own, and each keeps what
//! its largest work has needed. What they share is enough: they wait far more than they allocate.
//! This file is the only unsafe code for it.

/// Bytes of free memory at the end of the heap above which it is given back.
const KEPT: libc::c_int = 128 * 1024;

/// Makes all threads use one heap. To be called before there is a second thread.
pub fn share_one_heap() {
    #[expect(unsafe_code, reason = "neither rustix nor nix has mallopt")]
    // SAFETY: mallopt only sets parameters of the allocator, and there is no other thread that could
    // allocate meanwhile; a parameter that it does not know is refused by its result.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
    }
}
