//! Why the records of this node are not what they should be.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use super::StageRecord;
use crate::volume::volume_id::VolumeId;

/// Why a record could not be read, written or removed.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A file or directory cannot be accessed.
    #[error("cannot access {}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is no record.
    #[error("{} is no stage record", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where it breaks the form.
        source: serde_json::Error,
    },
    /// Another release wrote it.
    #[error(
        "{} has version {found}, this program reads version {}: a newer release wrote it",
        path.display(),
        StageRecord::VERSION
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It is the record of another volume than its directory says.
    #[error("{} is the record of volume {found}", path.display())]
    OtherVolume {
        /// The file.
        path: PathBuf,
        /// Whose record it is.
        found: VolumeId,
    },
}

impl RecordError {
    /// Whether the filesystem with the records takes nothing now: it is full, or read-only.
    pub(super) fn is_no_room(&self) -> bool {
        use ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let is_no_room = |kind| matches!(kind, QuotaExceeded | ReadOnlyFilesystem | StorageFull);
        matches!(self, RecordError::Io { source, .. } if is_no_room(source.kind()))
    }
}
