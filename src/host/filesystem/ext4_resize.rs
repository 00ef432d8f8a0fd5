//! `EXT4_IOC_RESIZE_FS`, which grows a mounted ext4 (include/uapi/linux/ext4.h).
//!
//! The kernel wants CAP_SYS_RESOURCE. This file is the only unsafe code for it.

use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::ioctl::{Opcode, Setter, ioctl, opcode};

/// `_IOW('f', 16, __u64)`.
const RESIZE_FS: Opcode = opcode::write::<u64>(b'f', 16);

/// Grows the filesystem that `mount` is on to a number of its blocks.
pub(super) fn resize(mount: impl AsFd, blocks: u64) -> Result<(), Errno> {
    #[expect(unsafe_code, reason = "an ioctl that rustix does not know")]
    // SAFETY: the opcode is the kernel's for a pointer to one __u64 that it only reads; on a file
    // of another kind the kernel answers ENOTTY.
    unsafe {
        ioctl(mount, Setter::<RESIZE_FS, u64>::new(blocks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_the_kernels() {
        assert_eq!(RESIZE_FS, 0x4008_6610);
    }
}
