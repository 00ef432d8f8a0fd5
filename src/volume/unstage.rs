//! NodeUnstageVolume: off this node.
//!
//! Works without a record too, by what is mounted at the staging path, and with a target that is
//! gone. Invariant: the record is removed last, so that a call that fails is repeated with all that
//! the first one knew.

use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nvme_sysfs::{Nqn, ScanError};
use thiserror::Error;

use super::detach::{DetachError, Detached, Leaving, OwnUse, Reach};
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
    /// Its target does not answer, and its controllers cannot be taken away.
    #[error(
        "the target does not answer, so that the volume cannot be unmounted, and its controllers \
         stay for others"
    )]
    Held,
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

/// Whether the filesystem at a staging path can be unmounted without waiting for its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mounted {
    /// Its disk is reached.
    Reached,
    /// What it has not written yet waits for a path.
    Waiting,
    /// Nothing of it waits: it is not mounted, or its disk is gone.
    Dead,
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
        let origin = self.find_origin(record.as_ref(), path)?;
        let identity = origin.as_ref().and_then(|origin| origin.identity.as_ref());
        let leaving = origin.as_ref().map(|origin| Leaving {
            volume_id: id,
            nqn: &origin.nqn,
            identity,
            reach: Reach::Ours,
            own_use: OwnUse::Refuse,
        });
        self.write_back(path, leaving)?;
        self.unmount_volume(path, identity)?;
        if let Some(leaving) = leaving {
            self.detach(leaving)?;
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

    /// Where the volume came from. What the record does not tell, what is mounted at the staging path
    /// does.
    fn find_origin(
        &self,
        record: Option<&StageRecord>,
        path: &Path,
    ) -> Result<Option<Origin>, UnstageError> {
        if let Some((record, staged)) = record.and_then(|r| Some((r, r.staged()?))) {
            return Ok(Some(Origin {
                nqn: record.source.nqn.clone(),
                identity: Some(staged.identity.clone()),
            }));
        }
        let mounts = read_mounts(&self.config.root)?;
        let mount = mounts.find_mount_at(path).filter(|mount| shows_nvme(mount));
        let tree = self.config.trees.scan()?;
        let disk = mount.and_then(|mount| find_shown(mount, &tree));
        let mut subsystems = tree.subsystems.iter();
        let mounted = disk.and_then(|disk| subsystems.find(|s| s.namespaces.contains(disk)));
        let nqn = match record {
            Some(record) => Some(record.source.nqn.clone()),
            None => mounted.and_then(|subsystem| subsystem.nqn.clone()),
        };
        let identity = disk.map(VolumeIdentity::of);
        Ok(nqn.map(|nqn| Origin { nqn, identity }))
    }

    /// Writes everything back while a failure can still be told: an unmount tells of none. Where a
    /// target does not answer, nothing can be written, and the unmount would wait for it without end:
    /// after a while the volume is cut off.
    fn write_back(&self, path: &Path, leaving: Option<Leaving<'_>>) -> Result<(), UnstageError> {
        match self.wait_for_path(path)? {
            Mounted::Dead => Ok(()),
            Mounted::Reached => {
                let directory = File::open(path);
                let written = directory.and_then(|directory| Ok(rustix::fs::syncfs(&directory)?));
                if let Err(error) = written {
                    let error: &(dyn Error + 'static) = &error;
                    tracing::error!(path = %path.display(), error, "data of a volume was lost");
                }
                Ok(())
            }
            Mounted::Waiting => self.cut_off(path, leaving),
        }
    }

    fn cut_off(&self, path: &Path, leaving: Option<Leaving<'_>>) -> Result<(), UnstageError> {
        let leaving = leaving.map(|leaving| Leaving {
            own_use: OwnUse::Cut,
            ..leaving
        });
        if let Some(leaving) = leaving
            && self.detach(leaving)? == Detached::Kept
        {
            return Err(UnstageError::Held);
        }
        match self.look_at(path)? {
            Mounted::Waiting => Err(UnstageError::Held),
            Mounted::Reached | Mounted::Dead => {
                let path = path.display();
                tracing::error!(%path, "cut off from its target: what was not written is lost");
                Ok(())
            }
        }
    }

    /// Waits for a path to the disk of what is mounted.
    fn wait_for_path(&self, path: &Path) -> Result<Mounted, UnstageError> {
        let deadline = Instant::now() + self.config.timing.path;
        let mut snapshot = self.config.trees.scan()?;
        loop {
            let mounted = self.look_at(path)?;
            if mounted != Mounted::Waiting || Instant::now() >= deadline {
                return Ok(mounted);
            }
            snapshot = self.next_snapshot(&snapshot, deadline)?;
        }
    }

    fn look_at(&self, path: &Path) -> Result<Mounted, UnstageError> {
        let mounts = read_mounts(&self.config.root)?;
        let mount = mounts.find_mount_at(path);
        let Some(mount) = mount.filter(|mount| shows_nvme(mount) && !is_shut_down(mount)) else {
            return Ok(Mounted::Dead);
        };
        let tree = self.config.trees.scan()?;
        let Some(disk) = find_shown(mount, &tree) else {
            return Ok(Mounted::Dead);
        };
        let mut subsystems = tree.subsystems.iter();
        Ok(match subsystems.any(|s| s.is_reachable(disk)) {
            true => Mounted::Reached,
            false => Mounted::Waiting,
        })
    }
}
