//! The guest side: what runs as PID 1 in the emulated machine.
//!
//! No shell and no busybox: every step is a system call or a file of the kernel, so that a test
//! says exactly what it did. Errors are [`std::io::Error`]s that name the path or the link.

mod channel;
mod init;
pub mod net;
pub mod nvmet;

pub use channel::Channel;
pub use init::{Machine, cmdline, power_off};

/// Adds what was being done, and to what, to an I/O error.
///
/// # Errors
/// The error itself, with the same kind and errno where there was one.
pub fn context<T>(
    result: std::io::Result<T>,
    what: impl FnOnce() -> String,
) -> std::io::Result<T> {
    result.map_err(|error| std::io::Error::new(error.kind(), format!("{}: {error}", what())))
}
