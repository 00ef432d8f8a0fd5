//! The kernel's uevents as they happen: a netlink socket of the protocol `NETLINK_KOBJECT_UEVENT`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use crate::uevent::{ParseUeventError, Uevent};

/// A socket that hears every uevent of the kernel.
#[derive(Debug)]
pub struct UeventSocket {
    fd: OwnedFd,
}

/// What a wait on the socket brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// An event.
    Uevent(Uevent),
    /// Events were lost because they were not read in time: only a rescan tells what is true now.
    Overrun,
    /// The deadline passed.
    TimedOut,
}

/// Why the socket cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UeventSocketError {
    /// A system call failed.
    #[error("uevent socket: {call} failed")]
    Call {
        /// Name of the system call.
        call: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel sent what is no event.
    #[error("uevent socket: malformed datagram")]
    Malformed(#[from] ParseUeventError),
}

impl UeventSocket {
    /// Opens the socket.
    ///
    /// # Errors
    /// [`UeventSocketError::Call`].
    pub fn open() -> Result<Self, UeventSocketError> {
        Err(UeventSocketError::Call {
            call: "socket",
            source: io::ErrorKind::Unsupported.into(),
        })
    }

    /// Waits for one event.
    ///
    /// # Errors
    /// [`UeventSocketError`].
    pub fn receive(&self, _deadline: Option<Instant>) -> Result<Received, UeventSocketError> {
        Ok(Received::TimedOut)
    }
}

impl AsFd for UeventSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
