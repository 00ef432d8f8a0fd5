//! Writing back what is left of a volume, so that a failure is heard of: an unmount tells of none, and
//! neither does the last close of a device.

use std::fs::File;
use std::io;

use rustix::io::Errno;
use thiserror::Error;

use super::Volume;
use crate::host::device_node::OpenNodeError;
use crate::volume::identity::Disk;
use crate::volume::volumes::Volumes;

/// Why it is not known that everything is written.
#[derive(Debug, Error)]
pub(super) enum SyncError {
    /// The staging path cannot be opened.
    #[error("cannot open the staging path")]
    Staging(#[source] io::Error),
    /// The node of a raw disk cannot be opened.
    #[error(transparent)]
    Node(#[from] OpenNodeError),
    /// The kernel could not write.
    #[error("{call}")]
    Write {
        /// By which call it was asked.
        call: &'static str,
        /// What it answered.
        source: Errno,
    },
}

impl Volumes {
    /// Writes a filesystem back, or the raw disk `raw`. A failure that nobody was told of yet is told
    /// here: the kernel keeps it until somebody asks.
    pub(super) fn sync(&self, volume: &Volume<'_>, raw: Option<&Disk>) -> Result<(), SyncError> {
        let failed = |call| move |source| SyncError::Write { call, source };
        if let Some(disk) = raw {
            let node = self.ground.open_node(&self.ground.node(disk))?;
            return rustix::fs::fsync(&node).map_err(failed("fsync"));
        }
        let staging = File::open(&volume.request.staging_target_path);
        let staging = staging.map_err(SyncError::Staging)?;
        rustix::fs::syncfs(&staging).map_err(failed("syncfs"))
    }
}
