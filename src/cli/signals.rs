//! Signals as a file descriptor (signalfd(2)).
//!
//! Invariant: from [`Signals::block`] on, SIGINT and SIGTERM end nothing by themselves; they wait
//! in the descriptor.

use std::os::fd::{AsFd, BorrowedFd};

use nix::libc;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::host::interrupt;

/// SIGINT and SIGTERM, waiting to be read.
#[derive(Debug)]
pub(crate) struct Signals(SignalFd);

impl Signals {
    /// Blocks both signals in this thread and in all that it starts from now on.
    pub(crate) fn block() -> nix::Result<Signals> {
        let mask = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
        mask.thread_block()?;
        interrupt::allow()?;
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
