//! NodeUnpublishVolume: away from a pod.
//!
//! Needs neither a record nor a live device, and may come before or after anything else. Invariant:
//! what is removed is an empty directory or file, and only after the mount table shows that nothing
//! is mounted there any more. Once that is done the call is a success, also where the record cannot be written: a full
//! disk is when pods are evicted, and the publication that stays in the record says nothing without its mount.

use std::path::Path;

use thiserror::Error;

use super::record::{RecordError, StageRecord};
use super::request::UnpublishRequest;
use super::unmount::{Own, UnmountVolumeError};
use super::volumes::Volumes;
use crate::host::MountPointError;

/// Why a pod still has a volume.
#[derive(Debug, Error)]
pub enum UnpublishError {
    /// Another call for this volume runs.
    #[error("another operation on this volume is still running")]
    Busy,
    /// Its record cannot be read or written.
    #[error("cannot keep the record of the volume")]
    Record(#[from] RecordError),
    /// It is still mounted there.
    #[error("cannot unmount the target")]
    Unmount(#[from] UnmountVolumeError),
    /// The place itself is still there.
    #[error("cannot remove the target")]
    MountPoint(#[from] MountPointError),
}

impl Volumes {
    /// Takes a volume from a pod. One that is not published there is a success.
    ///
    /// # Errors
    /// [`UnpublishError`].
    pub fn unpublish(&self, request: &UnpublishRequest) -> Result<(), UnpublishError> {
        let id = &request.volume_id;
        let target = &request.target_path;
        let _volume = self.ground.locks.try_lock(id).ok_or(UnpublishError::Busy)?;
        let record = self.ground.records.read(id)?;
        let own = Own {
            map: self.ground.map_of(id, record.as_ref()),
            identity: record.as_ref().and_then(StageRecord::identity),
        };
        self.unmount_volume(target, own)?;
        self.ground.host().remove_mount_point(target)?;
        match record {
            Some(record) => self.forget_publication(record, target),
            None => Ok(()),
        }
    }

    fn forget_publication(
        &self,
        mut record: StageRecord,
        target: &Path,
    ) -> Result<(), UnpublishError> {
        let known = record.publications.len();
        let mounts = self
            .ground
            .read_mounts()
            .map_err(UnmountVolumeError::Look)?;
        record.forget_gone(&mounts);
        record
            .publications
            .retain(|publication| publication.target_path != *target);
        if record.publications.len() < known {
            self.ground.records.note(&record)?;
        }
        Ok(())
    }
}
