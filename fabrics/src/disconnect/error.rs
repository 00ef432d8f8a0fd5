//! Why a controller was not disconnected.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use nvme_sysfs::{Instance, Nqn, UeventSocketError};

/// Why a controller was not disconnected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DisconnectError {
    /// A PCIe controller: this crate never touches one.
    #[error("{controller} is a PCIe controller and is never disconnected")]
    Pcie {
        /// Which.
        controller: Instance,
    },
    /// The number belongs to another subsystem now.
    #[error("{controller} belongs to {found}, not to {expected}")]
    OtherSubsystem {
        /// Which.
        controller: Instance,
        /// What it belongs to, as the kernel prints it.
        found: String,
        /// What it was expected to belong to.
        expected: Nqn,
    },
    /// It does not say which subsystem it belongs to and did not come to within the deadline:
    /// its first connect never succeeded, and the kernel deletes only what was live once.
    #[error(
        "{controller} was never live, which the kernel refuses to delete; it goes when its connect ends"
    )]
    NeverLive {
        /// Which.
        controller: Instance,
    },
    /// It still exists at the deadline.
    #[error("{controller} is still there after {waited:?}")]
    StillThere {
        /// Which.
        controller: Instance,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The caller wanted to stop, and the kernel had not taken the order by then.
    #[error("the kernel was not made to delete {controller}")]
    InterruptedBefore {
        /// Which.
        controller: Instance,
    },
    /// The caller wanted to stop while the kernel was at it.
    #[error("the kernel is deleting {controller}, which goes by itself now")]
    InterruptedMeanwhile {
        /// Which.
        controller: Instance,
    },
    /// Removals cannot be waited for.
    #[error("cannot wait for the removal of a controller")]
    Uevents(#[from] UeventSocketError),
    /// An attribute could not be read or written.
    #[error("cannot access {}", path.display())]
    Attribute {
        /// The attribute or directory.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
}
