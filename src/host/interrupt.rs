//! A signal that only makes the system call of one thread return EINTR (signal(7), pthread_kill(3)).

use std::os::unix::thread::JoinHandleExt;
use std::thread::JoinHandle;

use nix::libc;
use nix::sys::pthread::pthread_kill;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Interrupts one thread. It means nothing else in this program.
const WAKE: Signal = Signal::SIGUSR1;

/// Gives the signal a handler that does nothing; without one it would end the program. Without
/// SA_RESTART: the call that it interrupts is not taken up again.
#[expect(unsafe_code, reason = "sigaction(2) has no safe form")]
pub(crate) fn allow() -> nix::Result<()> {
    let action = SigAction::new(
        SigHandler::Handler(ignore),
        SaFlags::empty(),
        SigSet::empty(),
    );
    // SAFETY: the handler touches no memory, so it is safe at any point of any thread; nothing else
    // in this program handles the signal.
    unsafe { sigaction(WAKE, &action) }.map(drop)
}

/// Makes the system call that `thread` waits in return EINTR, where the kernel allows it. After
/// [`allow`] only.
pub(crate) fn wake<T>(thread: &JoinHandle<T>) -> nix::Result<()> {
    // The handle is not joined yet, so the thread's id is still its own even if the thread has
    // ended.
    pthread_kill(thread.as_pthread_t(), WAKE)
}

extern "C" fn ignore(_: libc::c_int) {}
