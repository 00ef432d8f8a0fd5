//! NodeUnstageVolume: off this node.
//!
//! Works without a record too, by what is mounted at the staging path, and with a target that is
//! gone. Invariant: the record is removed last, so that a call that fails is repeated with all that
//! the first one knew.

use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};

use nvme_sysfs::{Nqn, ScanError};
use thiserror::Error;

use super::detach::{DetachError, Leaving, Reach};
use super::identity::VolumeIdentity;
use super::mounts::{ReadMountsError, find_shown, is_shut_down, read_mounts, shows_nvme};
use super::record::{RecordError, StageRecord};
use super::request::UnstageRequest;
use super::unmount::UnmountVolumeError;
use super::volumes::Volumes;

/// Why a volume is still on this node.
#[derive(Debug, Error)]
pub enum UnstageError {
    /// Another call for this volume runs.
    #[error("another operation on this volume is still running")]
    Busy,
    /// Its record cannot be read or removed.
    #[error("cannot keep the record of the volume")]
    Record(#[from] RecordError),
    /// The NVMe devices cannot be read.
    #[error("cannot read the NVMe devices")]
    Scan(#[from] ScanError),
    /// The mounts cannot be read.
    #[error("cannot tell what is mounted")]
    Mounts(#[from] ReadMountsError),
    /// A pod still has it.
    #[error("the volume is still published at {}", path.display())]
    Published {
        /// Where.
        path: PathBuf,
    },
    /// Its filesystem is still mounted.
    #[error("cannot unmount the volume")]
    Unmount(#[from] UnmountVolumeError),
    /// Its controllers are still there.
    #[error("cannot detach the volume")]
    Detach(#[from] DetachError),
}

/// Where a volume came from, by its record or by what is mounted.
#[derive(Debug)]
struct Origin {
    nqn: Nqn,
    identity: Option<VolumeIdentity>,
}

impl Volumes {
    /// Takes a volume off this node. One that is not here is a success.
    ///
    /// # Errors
    /// [`UnstageError`].
    pub fn unstage(&self, request: &UnstageRequest) -> Result<(), UnstageError> {
        let id = &request.volume_id;
        let path = &request.staging_target_path;
        let _volume = self.locks.try_lock(id).ok_or(UnstageError::Busy)?;
        let record = self.records.read(id)?;
        let record = record.filter(StageRecord::is_active);
        if let Some(record) = &record {
            self.refuse_published(record)?;
        }
        let origin = match &record {
            Some(record) => Some(Origin::of(record)),
            None => self.find_origin(path)?,
        };
        let identity = origin.as_ref().and_then(|origin| origin.identity.as_ref());
        self.write_back(path);
        self.unmount_volume(path, identity)?;
        if let Some(Origin { nqn, identity }) = &origin {
            self.detach(Leaving {
                volume_id: id,
                nqn,
                identity: identity.as_ref(),
                reach: Reach::Ours,
            })?;
        }
        self.records.close(id)?;
        self.forget_usage(id);
        Ok(())
    }

    /// A publication holds a filesystem by itself, but a raw block device is held by nothing.
    fn refuse_published(&self, record: &StageRecord) -> Result<(), UnstageError> {
        let mounts = read_mounts(&self.config.root)?;
        let published = record.publications.iter().find(|publication| {
            let mount = mounts.find_mount_at(&publication.target_path);
            mount.is_some_and(shows_nvme)
        });
        match published {
            None => Ok(()),
            Some(publication) => Err(UnstageError::Published {
                path: publication.target_path.clone(),
            }),
        }
    }

    /// The subsystem behind what is mounted at the staging path.
    fn find_origin(&self, path: &Path) -> Result<Option<Origin>, UnstageError> {
        let mounts = read_mounts(&self.config.root)?;
        let Some(mount) = mounts.find_mount_at(path).filter(|mount| shows_nvme(mount)) else {
            return Ok(None);
        };
        let tree = self.config.trees.scan()?;
        let Some(disk) = find_shown(mount, &tree) else {
            return Ok(None);
        };
        let subsystem = tree
            .subsystems
            .iter()
            .find(|subsystem| subsystem.namespaces.contains(disk));
        Ok(subsystem
            .and_then(|subsystem| subsystem.nqn.clone())
            .map(|nqn| Origin {
                nqn,
                identity: Some(VolumeIdentity::of(disk)),
            }))
    }

    /// Writes everything back while a failure can still be told: an unmount tells of none. A
    /// filesystem whose disk is not reached is left alone, it would block.
    fn write_back(&self, path: &Path) {
        match self.is_reached_at(path) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                let error: &(dyn Error + 'static) = &error;
                tracing::warn!(path = %path.display(), error, "not written back before the unmount");
                return;
            }
        }
        let written = File::open(path).and_then(|directory| Ok(rustix::fs::syncfs(&directory)?));
        if let Err(error) = written {
            let error: &(dyn Error + 'static) = &error;
            tracing::error!(path = %path.display(), error, "data was lost: writing back failed");
        }
    }

    fn is_reached_at(&self, path: &Path) -> Result<bool, UnstageError> {
        let mounts = read_mounts(&self.config.root)?;
        let mount = mounts.find_mount_at(path);
        let Some(mount) = mount.filter(|mount| shows_nvme(mount) && !is_shut_down(mount)) else {
            return Ok(false);
        };
        let tree = self.config.trees.scan()?;
        let shown = find_shown(mount, &tree);
        Ok(shown.is_some_and(|disk| {
            let mut subsystems = tree.subsystems.iter();
            subsystems.any(|subsystem| subsystem.is_reachable(disk))
        }))
    }
}

impl Origin {
    fn of(record: &StageRecord) -> Origin {
        Origin {
            nqn: record.source.nqn.clone(),
            identity: record.staged().map(|staged| staged.identity.clone()),
        }
    }
}
