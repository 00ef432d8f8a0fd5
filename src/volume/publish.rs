//! NodePublishVolume: a staged volume at the place where a pod looks for it.
//!
//! A filesystem is bind mounted from its staging path; a raw block device is the bind mount of its
//! node on a file. Invariants: what is bound is proved to be the volume's disk first; nothing is
//! mounted on top of another mount; the publication is recorded before the bind, with the disk that
//! it shows.

mod undo;

use std::path::PathBuf;

use nvme_sysfs::DevT;
use thiserror::Error;

use super::capability::{AccessMode, AccessType};
use super::identity::{Disk, IdentityMismatch};
use super::mounts::{ForeignMountError, shows};
use super::record::{Publication, RecordError, StageRecord, Staged};
use super::repair::Repaired;
use super::request::{PublishRequest, Readonly};
use super::sight::LookError;
use super::standing::{MountState, Mounted, Standing};
use super::volume_id::VolumeId;
use super::volumes::Volumes;
use crate::causes::chain;
use crate::host::device_node::OpenNodeError;
use crate::host::{Access, MountAccess, MountError, MountFlag, MountPoint, MountPointError};

use undo::Done;

/// Why a volume was not published.
#[derive(Debug, Error)]
pub enum PublishError {
    /// Another call for this volume runs.
    #[error("another operation on this volume is still running")]
    Busy,
    /// It must be staged first.
    #[error("volume {volume_id} is not staged on this node")]
    NotStaged {
        /// Which volume.
        volume_id: VolumeId,
    },
    /// It is staged or published in another way.
    #[error("the volume cannot be published like this: {what}")]
    Incompatible {
        /// What is different.
        what: &'static str,
    },
    /// Its access mode allows one writer, and there is one.
    #[error("the access mode allows one publication, and there is one at {}", path.display())]
    SingleWriter {
        /// Where.
        path: PathBuf,
    },
    /// Its record cannot be read or written.
    #[error("cannot keep the record of the volume")]
    Record(#[from] RecordError),
    /// This node cannot be judged.
    #[error(transparent)]
    Look(#[from] LookError),
    /// There is no disk of the volume now, or no path to it.
    #[error("the volume has no disk that can be reached now")]
    NoDisk,
    /// The volume has come back as another disk.
    #[error("the volume was staged as {staged} and is {found} now: it must be staged again")]
    OtherDisk {
        /// As which it was staged.
        staged: Disk,
        /// Kernel name of the disk that carries it now.
        found: String,
    },
    /// Another namespace stands where the volume was.
    #[error("the namespace is not the one that was staged here")]
    Identity(#[from] IdentityMismatch),
    /// The staging path does not lead to the volume.
    #[error(
        "{} is not a live mount of {staged} ({}): the volume must be staged again",
        path.display(),
        found.map_or("nothing is mounted".to_owned(), |dev| format!("it is one of {dev}"))
    )]
    StaleStaging {
        /// The staging path.
        path: PathBuf,
        /// Device number of what is mounted there, if anything is.
        found: Option<DevT>,
        /// As which disk the volume was staged.
        staged: Disk,
    },
    /// Something else is mounted at the target.
    #[error(transparent)]
    Occupied(#[from] ForeignMountError),
    /// The device node is not the volume's.
    #[error("the device of the volume is not usable")]
    Device(#[from] OpenNodeError),
    /// The place could not be made.
    #[error("cannot make the target")]
    MountPoint(#[from] MountPointError),
    /// The bind mount was not made.
    #[error("cannot publish the volume")]
    Mount(#[from] MountError),
    /// The kernel bound it, and the mount table does not show it.
    #[error("{} was bound and the mount table does not show it", path.display())]
    NotMounted {
        /// The target path.
        path: PathBuf,
    },
}

impl Volumes {
    /// Publishes a staged volume. One that is published there already, and the same way, is a
    /// success.
    ///
    /// # Errors
    /// [`PublishError`]; what this call did is undone.
    pub fn publish(&self, request: &PublishRequest) -> Result<(), PublishError> {
        let id = &request.volume_id;
        self.tell_coming(id, &request.target_path);
        let _volume = self.ground.locks.try_lock(id).ok_or(PublishError::Busy)?;
        let record = self.ground.records.read(id)?;
        let not_staged = || PublishError::NotStaged {
            volume_id: id.clone(),
        };
        let mut record = record.ok_or_else(not_staged)?;
        record.forget_gone(&self.ground.read_mounts()?);
        record.staged().ok_or_else(not_staged)?;
        check_compatible(&record, request)?;
        let mut record = self.mend(record)?;
        let staged = record.staged().cloned().ok_or_else(not_staged)?;
        let disk = self.prove(&record, &staged)?;
        let published = self.is_published(&record, request, &disk)?;
        let mut done = Done::nothing(record.clone());
        self.add_publication(&mut record, request, &disk)?;
        if published {
            return Ok(());
        }
        let result = self.bind(&record, request, &disk, &mut done);
        if result.is_err() {
            self.take_back(&done, request);
        }
        result
    }

    /// The disk may have come back as another one since: no pod waits for the keeper to find that. What
    /// is stale in any other way, or cannot be mounted anew, is left to the proof that follows.
    fn mend(&self, record: StageRecord) -> Result<StageRecord, PublishError> {
        let sight = self.look()?;
        if !Standing::of(&record, &sight).is_some_and(|standing| standing.has_lost_disk()) {
            return Ok(record);
        }
        match self.repair_locked(record.clone()) {
            Ok(Repaired::Done(stale)) => {
                let (volume_id, stale) = (&record.volume_id, stale.as_str());
                tracing::info!(%volume_id, stale, "mounted anew before it is published");
                let mended = self.ground.records.read(&record.volume_id)?;
                Ok(mended.unwrap_or(record))
            }
            Ok(_) => Ok(record),
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(volume_id = %record.volume_id, error, "cannot be mounted anew");
                Ok(record)
            }
        }
    }

    /// What is published, which must be what was staged.
    fn prove(&self, record: &StageRecord, staged: &Staged) -> Result<Disk, PublishError> {
        let sight = self.look()?;
        let standing = Standing::of(record, &sight).ok_or(PublishError::NoDisk)?;
        if let Some(mismatch) = standing.mismatch() {
            return Err(mismatch.clone().into());
        }
        let disk = standing.disk.as_ref().ok_or(PublishError::NoDisk)?;
        if *disk != staged.disk {
            return Err(PublishError::OtherDisk {
                staged: staged.disk.clone(),
                found: disk.name.clone(),
            });
        }
        let is_block = standing.staging.is_none();
        // The pod is going to use it at once, and would wait until a path is usable.
        if (is_block || standing.map.is_some()) && !standing.is_reached() {
            return Err(PublishError::NoDisk);
        }
        let is_wrong = |staging: &&Mounted<'_>| staging.state != MountState::Right;
        if let Some(staging) = standing.staging.as_ref().filter(is_wrong) {
            return Err(PublishError::StaleStaging {
                path: staging.path.to_path_buf(),
                found: staging.mount.map(|mount| mount.dev),
                staged: staged.disk.clone(),
            });
        }
        Ok(staged.disk.clone())
    }

    /// Whether the target shows the volume already; anything else there is an error.
    fn is_published(
        &self,
        record: &StageRecord,
        request: &PublishRequest,
        disk: &Disk,
    ) -> Result<bool, PublishError> {
        let mounts = self.ground.read_mounts()?;
        let Some(mount) = mounts.find_mount_at(&request.target_path) else {
            return Ok(false);
        };
        let recorded = record.find_publication(&request.target_path);
        let is_older = recorded.is_some_and(|publication| publication.disk != *disk);
        if !shows(mount, disk) || is_older {
            return Err(ForeignMountError::at(&request.target_path, mount).into());
        }
        if access(request) == Access::ReadOnly && !mount.has_option("ro") {
            return Err(PublishError::Incompatible {
                what: "it is published there for writing",
            });
        }
        Ok(true)
    }

    fn add_publication(
        &self,
        record: &mut StageRecord,
        request: &PublishRequest,
        disk: &Disk,
    ) -> Result<(), PublishError> {
        let publication = Publication {
            target_path: request.target_path.clone(),
            readonly: request.readonly,
            flags: single_mount_flags(request).to_vec(),
            disk: disk.clone(),
            pod: request.pod.clone(),
            withdrawn: false,
        };
        // A repeated call needs no room on the disk.
        if record.find_publication(&request.target_path) == Some(&publication) {
            return Ok(());
        }
        remove_publication(record, request);
        record.publications.push(publication);
        Ok(self.ground.records.write(record)?)
    }

    fn bind(
        &self,
        record: &StageRecord,
        request: &PublishRequest,
        disk: &Disk,
        done: &mut Done,
    ) -> Result<(), PublishError> {
        let (kind, source) = match record.capability.access {
            AccessType::Filesystem { .. } => {
                (MountPoint::Directory, record.staging_target_path.clone())
            }
            AccessType::Block => (MountPoint::File, self.ground.node(disk).path),
        };
        // Held open, the node cannot become another disk's before it is bound.
        let _node = match kind {
            MountPoint::File => Some(self.ground.open_node(&self.ground.node(disk))?),
            MountPoint::Directory => None,
        };
        let target = &request.target_path;
        done.target = Some(self.ground.host().make_mount_point(target, kind)?);
        let flags = single_mount_flags(request);
        self.ground
            .host()
            .bind(&source, target, access(request), flags)?;
        done.bound = true;
        match self.is_published(record, request, disk)? {
            true => Ok(()),
            false => Err(PublishError::NotMounted {
                path: target.clone(),
            }),
        }
    }
}

fn remove_publication(record: &mut StageRecord, request: &PublishRequest) {
    record
        .publications
        .retain(|publication| publication.target_path != request.target_path);
}

/// The tables of the specification: one way at one target, and one target for a single writer.
fn check_compatible(record: &StageRecord, request: &PublishRequest) -> Result<(), PublishError> {
    let staged = &record.capability;
    let wanted = &request.capability;
    let what = if record.staging_target_path != request.staging_target_path {
        "it is staged at another staging_target_path"
    } else if !is_same_access(&staged.access, &wanted.access) || staged.mode != wanted.mode {
        "it is staged with another capability"
    } else if is_published_otherwise(record, request) {
        "it is published there with another readonly"
    } else {
        return check_single_writer(record, request);
    };
    Err(PublishError::Incompatible { what })
}

fn is_same_access(staged: &AccessType, wanted: &AccessType) -> bool {
    match (staged, wanted) {
        (AccessType::Block, AccessType::Block) => true,
        // Flags of a publication may differ: they are of the bind mount.
        (AccessType::Filesystem { fs, .. }, AccessType::Filesystem { fs: wanted, .. }) => {
            fs == wanted
        }
        _ => false,
    }
}

fn is_published_otherwise(record: &StageRecord, request: &PublishRequest) -> bool {
    record
        .find_publication(&request.target_path)
        .is_some_and(|publication| publication.readonly != request.readonly)
}

fn check_single_writer(record: &StageRecord, request: &PublishRequest) -> Result<(), PublishError> {
    if record.capability.mode != AccessMode::SingleNodeSingleWriter {
        return Ok(());
    }
    let is_other = |publication: &&Publication| publication.target_path != request.target_path;
    match record.publications.iter().find(is_other) {
        None => Ok(()),
        Some(other) => Err(PublishError::SingleWriter {
            path: other.target_path.clone(),
        }),
    }
}

/// Whether the pod may write.
fn access(request: &PublishRequest) -> Access {
    let is_reader = request.capability.mount_access() != MountAccess::ReadWrite;
    match request.readonly == Readonly::Yes || is_reader {
        true => Access::ReadOnly,
        false => Access::ReadWrite,
    }
}

fn single_mount_flags(request: &PublishRequest) -> &[MountFlag] {
    match &request.capability.access {
        AccessType::Filesystem { flags, .. } => flags,
        AccessType::Block => &[],
    }
}
