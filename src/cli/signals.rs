//! Signals as a file descriptor, and a signal that only makes a blocking call return (signalfd(2),
//! signal(7)).
//!
//! Invariant: from [`Signals::block`] on, SIGINT and SIGTERM end nothing by themselves; they wait
//! in the descriptor.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::thread::JoinHandleExt;
use std::thread::JoinHandle;

use nix::libc;
use nix::sys::pthread::pthread_kill;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Interrupts one thread. It means nothing else in this program.
const WAKE: Signal = Signal::SIGUSR1;

/// SIGINT and SIGTERM, waiting to be read.
#[derive(Debug)]
pub(crate) struct Signals(SignalFd);

impl Signals {
    /// Blocks both signals in this thread and in all that it starts from now on.
    pub(crate) fn block() -> nix::Result<Signals> {
        let mask = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
        mask.thread_block()?;
        catch_wake()?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        SignalFd::with_flags(&mask, flags).map(Signals)
    }

    /// Takes one signal, if one has come.
    pub(crate) fn take(&self) -> nix::Result<Option<Signal>> {
        let Some(information) = self.0.read_signal()? else {
            return Ok(None);
        };
        let number = libc::c_int::try_from(information.ssi_signo);
        number.map_or(Ok(None), |number| Signal::try_from(number).map(Some))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Makes the system call that `thread` waits in return EINTR, where the kernel allows it.
pub(crate) fn wake<T>(thread: &JoinHandle<T>) -> nix::Result<()> {
    // The handle is not joined yet, so the thread's id is still its own even if the thread has
    // ended.
    pthread_kill(thread.as_pthread_t(), WAKE)
}

extern "C" fn ignore(_: libc::c_int) {}

/// Gives the wake-up signal a handler that does nothing. Without SA_RESTART: the call that it
/// interrupts is not taken up again.
#[expect(unsafe_code, reason = "sigaction(2) has no safe form")]
fn catch_wake() -> nix::Result<()> {
    let action = SigAction::new(
        SigHandler::Handler(ignore),
        SaFlags::empty(),
        SigSet::empty(),
    );
    // SAFETY: the handler touches no memory, so it is safe at any point of any thread; nothing else
    // in this program handles the signal.
    unsafe { sigaction(WAKE, &action) }.map(drop)
}
