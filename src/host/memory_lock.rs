//! Keeps the memory of this process resident: `mlockall(2)`.
//!
//! While a volume waits for its target, memory that is dirty with its data cannot be written back.
//! If making room for one of our own pages had to wait for that, nobody would be left to bring the
//! target back. Pages are locked once they are touched, so that it costs none that are never used.
//!
//! Invariant: nothing is locked under a limit: a thread whose stack is beyond it would not start.

use rustix::io::Errno;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, Rlimit, setrlimit};
use thiserror::Error;

/// Why the memory is not locked.
#[derive(Debug, Error)]
pub enum MemoryLockError {
    /// The limit stays: raising it needs `CAP_SYS_RESOURCE`.
    #[error("cannot lift the limit of locked memory (RLIMIT_MEMLOCK)")]
    Limit(#[source] Errno),
    /// The kernel does not lock it.
    #[error("mlockall failed")]
    Lock(#[source] Errno),
}

/// Locks what this process has and gets, page by page as it is touched.
///
/// # Errors
/// [`MemoryLockError`]; then nothing is locked.
pub fn lock_memory() -> Result<(), MemoryLockError> {
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    setrlimit(Resource::Memlock, unlimited).map_err(MemoryLockError::Limit)?;
    let all = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    mlockall(all).map_err(MemoryLockError::Lock)
}
