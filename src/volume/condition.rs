//! What is wrong with a volume or with the storage behind it, in the words of CSI 1.13
//! (`VolumeHealth`, `StorageBackendHealth`).

use thiserror::Error;

use super::record::RecordError;
use super::sight::LookError;

/// One adverse condition of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthEntry {
    /// How bad it is.
    pub status: HealthStatus,
    /// What it is.
    pub reason: HealthReason,
    /// What was seen.
    pub message: String,
}

/// How bad a condition of a volume is, `VolumeHealthErrorType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthStatus {
    /// Works, with less than it should have.
    Degraded,
    /// Cannot be used now.
    Inaccessible,
}

/// What a condition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthReason {
    /// No path to the namespace is usable.
    NoPath,
    /// Some paths are not usable.
    PathsDown,
    /// A mount leads to a device that is not the volume's, or to none.
    StaleMount,
    /// Another namespace stands where the volume was.
    IdentityMismatch,
    /// I/O may wait in a controller that is not under this driver's control, and not in the map.
    NotHeld,
    /// Reads or writes of some blocks fail at the target.
    MediaError,
}

/// One adverse condition of a subsystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageHealthEntry {
    /// How bad it is.
    pub status: StorageStatus,
    /// What it is.
    pub reason: HealthReason,
    /// Which subsystem, and what was seen.
    pub message: String,
}

/// How bad a condition of a subsystem is, `StorageHealthErrorType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageStatus {
    /// Works, with less than it should have.
    Degraded,
    /// Not reached from this node.
    Unreachable,
}

/// Why nothing can be said. A condition that was told before holds on.
#[derive(Debug, Error)]
pub enum HealthError {
    /// The records cannot be read.
    #[error("cannot read what is staged here")]
    Record(#[from] RecordError),
    /// This node cannot be judged.
    #[error(transparent)]
    Look(#[from] LookError),
}

impl HealthReason {
    /// The word for the answer, in CamelCase as the specification wants it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            HealthReason::NoPath => "NoPath",
            HealthReason::PathsDown => "PathsDown",
            HealthReason::StaleMount => "StaleMount",
            HealthReason::IdentityMismatch => "IdentityMismatch",
            HealthReason::NotHeld => "NotHeld",
            HealthReason::MediaError => "MediaError",
        }
    }
}
