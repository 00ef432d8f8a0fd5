//! NodeExpandVolume: the namespace has grown at its target, the node follows.
//!
//! Invariant: the filesystem is compared with its device, not with what an earlier call said, so
//! that a call which died half-way is completed by the next one.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use nvme_sysfs::{Namespace, Nqn, ScanError, Tree};
use thiserror::Error;

use super::capability::AccessType;
use super::hold::{Below, SwapError, Swapped};
use super::identity::{Disk, IdentityMismatch, VolumeIdentity};
use super::mounts::serves;
use super::place::find_place;
use super::record::{Phase, RecordError, StageRecord, Staged};
use super::request::ExpandRequest;
use super::sight::LookError;
use super::standing::carrier::{Current, find_current, is_reached};
use super::volume_id::VolumeId;
use super::volumes::Volumes;
use crate::host::{FilesystemType, GrowError, MountAccess};

/// Why a volume was not expanded.
#[derive(Debug, Error)]
pub enum ExpandError {
    /// Another call for this volume runs.
    #[error("another operation on this volume is still running")]
    Busy,
    /// The volume is not staged here, or not at this path.
    #[error("volume {volume_id} is not at {} on this node", path.display())]
    NotFound {
        /// Which volume.
        volume_id: VolumeId,
        /// The path that was named.
        path: PathBuf,
    },
    /// Its record cannot be read or written.
    #[error("cannot keep the record of the volume")]
    Record(#[from] RecordError),
    /// The NVMe devices cannot be read.
    #[error("cannot read the NVMe devices")]
    Scan(#[from] ScanError),
    /// This node cannot be judged.
    #[error(transparent)]
    Look(#[from] LookError),
    /// There is no disk of the volume now, or no path to it.
    #[error("the volume has no disk that can be reached now")]
    NoDisk,
    /// Another namespace stands where the volume was.
    #[error("the namespace is not the one that was staged here")]
    Identity(#[from] IdentityMismatch),
    /// The namespace has not grown.
    #[error("the namespace has {found} bytes after {waited:?}, {required} are required")]
    TooSmall {
        /// What it has.
        found: u64,
        /// What was asked for.
        required: u64,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The namespace is larger than the volume may be.
    #[error("the namespace has {found} bytes, more than the limit of {limit}")]
    TooLarge {
        /// What it has.
        found: u64,
        /// What is allowed.
        limit: u64,
    },
    /// The staging path does not lead to the volume.
    #[error("{} is not a live mount of {disk}: the volume must be staged again", path.display())]
    StaleStaging {
        /// The staging path.
        path: PathBuf,
        /// The volume's disk.
        disk: Disk,
    },
    /// The map did not grow.
    #[error("cannot grow the map over the disk")]
    Map(#[from] SwapError),
    /// The filesystem did not grow.
    #[error("cannot grow the filesystem")]
    Grow(#[from] GrowError),
}

impl Volumes {
    /// Lets a staged volume use what its namespace has grown to, and returns the size in bytes.
    ///
    /// # Errors
    /// [`ExpandError`].
    pub fn expand(&self, request: &ExpandRequest) -> Result<u64, ExpandError> {
        let id = &request.volume_id;
        let _volume = self.ground.locks.try_lock(id).ok_or(ExpandError::Busy)?;
        let record = self.ground.records.read(id)?;
        let found = match record {
            Some(record) if self.is_place(&record, request)? => Some(record),
            Some(_) | None => None,
        };
        let staged = found.as_ref().and_then(|record| record.staged().cloned());
        let (Some(record), Some(staged)) = (found, staged) else {
            return Err(ExpandError::NotFound {
                volume_id: id.clone(),
                path: request.volume_path.clone(),
            });
        };
        let namespace = self.wait_for_size(&record.source.nqn, &staged.identity, request)?;
        // From now on a smaller namespace is another volume, and the map is as long as this one.
        let record = self.remember_size(record, &staged, &namespace)?;
        self.grow_map(&record, &namespace)?;
        if let AccessType::Filesystem { fs, .. } = record.capability.access {
            self.grow(&record, &staged.disk, fs)?;
        }
        Ok(namespace.size_bytes)
    }

    /// Whether the volume is where the caller has it. kubelet keeps the path at which the last pod had
    /// a raw disk, also when that pod is gone and another has it, and takes NOT_FOUND for ever: the
    /// path where it is staged is enough.
    fn is_place(&self, record: &StageRecord, request: &ExpandRequest) -> Result<bool, LookError> {
        if request.staging_target_path.as_ref() == Some(&record.staging_target_path) {
            return Ok(true);
        }
        let mounts = self.ground.read_mounts()?;
        Ok(find_place(record, &mounts, &request.volume_path).is_some())
    }

    /// The namespace once it is large enough. Every controller is told to look first: a target tells
    /// of a new size only if the host listens at that moment.
    fn wait_for_size(
        &self,
        nqn: &Nqn,
        identity: &VolumeIdentity,
        request: &ExpandRequest,
    ) -> Result<Namespace, ExpandError> {
        let started = Instant::now();
        let deadline = started + self.ground.config.timing.size;
        let mut snapshot = self.ground.config.trees.scan()?;
        self.paths.rescan(&snapshot, nqn);
        let required = request.required_bytes.unwrap_or(0);
        loop {
            let found = find_growing(&snapshot, nqn, identity)?;
            if let Some(found) = found.filter(|found| found.size_bytes >= required) {
                return check_limit(found.clone(), request);
            }
            if Instant::now() >= deadline {
                let found = found.ok_or(ExpandError::NoDisk)?.size_bytes;
                return Err(ExpandError::TooSmall {
                    found,
                    required,
                    waited: started.elapsed(),
                });
            }
            snapshot = self.ground.next_snapshot(&snapshot, deadline)?;
        }
    }

    fn grow(
        &self,
        record: &StageRecord,
        disk: &Disk,
        fs: FilesystemType,
    ) -> Result<(), ExpandError> {
        // Nothing can be written through a mount for readers, so it keeps its size.
        if record.capability.mount_access() != MountAccess::ReadWrite {
            return Ok(());
        }
        let path = &record.staging_target_path;
        let mounts = self.ground.read_mounts()?;
        let mount = mounts.find_mount_at(path);
        if !mount.is_some_and(|mount| serves(mount, disk, MountAccess::ReadWrite)) {
            return Err(ExpandError::StaleStaging {
                path: path.clone(),
                disk: disk.clone(),
            });
        }
        self.ground.host().grow(path, &self.ground.node(disk), fs)?;
        Ok(())
    }

    fn remember_size(
        &self,
        record: StageRecord,
        staged: &Staged,
        namespace: &Namespace,
    ) -> Result<StageRecord, RecordError> {
        let phase = Phase::Staged(Staged {
            identity: VolumeIdentity::of(namespace),
            disk: staged.disk.clone(),
        });
        let record = StageRecord { phase, ..record };
        self.ground.records.write(&record)?;
        Ok(record)
    }

    fn grow_map(&self, record: &StageRecord, namespace: &Namespace) -> Result<(), ExpandError> {
        let (Some(map), Some(identity)) = (record.map(), record.identity()) else {
            return Ok(());
        };
        let swapped = self.holds.swap(Below {
            map,
            nqn: &record.source.nqn,
            identity,
            read_only: record.is_map_read_only(namespace.read_only),
        })?;
        match swapped {
            Swapped::Done | Swapped::Reinstated | Swapped::Already => Ok(()),
            // The longer table has not been loaded: kubelet asks again.
            Swapped::NoDisk | Swapped::NotYet => Err(ExpandError::NoDisk),
        }
    }
}

/// The namespace, if it can be reached: growing a filesystem without a path would block.
fn find_growing<'a>(
    tree: &'a Tree,
    nqn: &Nqn,
    identity: &VolumeIdentity,
) -> Result<Option<&'a Namespace>, IdentityMismatch> {
    match find_current(tree, nqn, identity) {
        Current::Found(found) => Ok(Some(found).filter(|found| is_reached(tree, nqn, found))),
        Current::Other(mismatch) => Err(mismatch),
        Current::Missing => Ok(None),
    }
}

fn check_limit(found: Namespace, request: &ExpandRequest) -> Result<Namespace, ExpandError> {
    match request.limit_bytes {
        Some(limit) if found.size_bytes > limit => Err(ExpandError::TooLarge {
            found: found.size_bytes,
            limit,
        }),
        _ => Ok(found),
    }
}
