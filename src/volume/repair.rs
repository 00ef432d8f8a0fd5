//! Repairing the mounts of a volume after a loss that reached them: the staging mount, and what pods
//! have of it.
//!
//! In order: prove the disk, see that nobody uses what is there, unmount, make the map anew where
//! there was one, check, mount, record, bind again. Invariants: under the lock of the volume; nothing
//! is formatted; a mount that somebody uses stays as it is, because ending it would lose data that
//! its user may still save; what is taken from pods is recorded before, so that the next attempt gives it
//! back wherever this one ended.

mod in_use;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nvme_sysfs::{DevT, Namespace};
use thiserror::Error;

use super::capability::AccessType;
use super::filesystem::{InspectError, Memory, PrepareError, Step, next_step};
use super::hold::{Below, SwapError};
use super::identity::Disk;
use super::mounts::shows;
use super::record::{Phase, Publication, RecordError, StageRecord, Staged};
use super::sight::{LookError, Sight};
use super::standing::carrier::find_usable;
use super::standing::{MountState, Published, Stale, Standing, is_missing};
use super::unmount::{Own, UnmountVolumeError};
use super::volume_id::VolumeId;
use super::volumes::Volumes;
use crate::host::device_node::OpenNodeError;
use crate::host::{
    Access, CheckError, FilesystemType, MapError, MountError, MountRequest, UnmountError,
};
use in_use::InUseError;
pub use in_use::User;

/// How long an unmount is tried of a dead mount that nobody seems to use.
const UNMOUNT: Duration = Duration::from_secs(10);
/// Time between two attempts.
const AGAIN: Duration = Duration::from_millis(200);

/// What a repair did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repaired {
    /// The volume is mounted anew.
    Done(Stale),
    /// Nothing was stale.
    NotStale,
    /// Another operation on the volume runs, and will see to it or fail.
    Busy,
    /// No path leads to the volume now.
    NotReached,
}

/// Why the mounts of a volume were not repaired.
#[derive(Debug, Error)]
pub enum RepairError {
    /// Its record cannot be read or written.
    #[error("cannot keep the record of the volume")]
    Record(#[from] RecordError),
    /// This node cannot be judged.
    #[error(transparent)]
    Look(#[from] LookError),
    /// Somebody uses a mount of it.
    #[error("the stale mount is still in use: {0}")]
    InUse(User),
    /// It cannot be told whether somebody does.
    #[error("cannot tell whether the stale mount is in use")]
    Unknown(#[from] InUseError),
    /// A mount did not go.
    #[error("cannot unmount what is stale")]
    Unmount(#[from] UnmountVolumeError),
    /// The old map did not go.
    #[error("cannot remove the map that was let go")]
    OldMap(#[source] MapError),
    /// There is no new map.
    #[error("cannot make the map anew")]
    Map(#[from] SwapError),
    /// It cannot be told what is on the disk.
    #[error("cannot look at the device of the volume")]
    Inspect(#[from] InspectError),
    /// What is on the disk is not what was mounted.
    #[error("the device of the volume cannot be used")]
    Prepare(#[from] PrepareError),
    /// The filesystem did not pass its check.
    #[error("cannot check the filesystem")]
    Check(#[from] CheckError),
    /// It was not mounted, or a pod did not get it.
    #[error("cannot mount the volume anew")]
    Mount(#[from] MountError),
    /// The node of a raw disk is not the volume's.
    #[error("the device of the volume cannot be given to its pods")]
    Node(#[from] OpenNodeError),
}

impl Volumes {
    /// Mounts a volume anew whose mounts are stale, if it is reached and nobody uses them.
    ///
    /// # Errors
    /// [`RepairError`]; what was mounted before is left, or is mounted by the next attempt.
    pub fn repair(&self, id: &VolumeId) -> Result<Repaired, RepairError> {
        let Some(_volume) = self.ground.locks.try_lock(id) else {
            return Ok(Repaired::Busy);
        };
        let record = self.ground.records.read(id)?;
        match record.filter(|record| record.staged().is_some()) {
            Some(record) => self.repair_locked(record),
            None => Ok(Repaired::NotStale),
        }
    }

    /// The same for whoever holds the lock of the volume.
    pub(super) fn repair_locked(&self, mut record: StageRecord) -> Result<Repaired, RepairError> {
        let sight = self.look()?;
        record.forget_gone(&sight.mounts);
        let Some(staged) = record.staged().cloned() else {
            return Ok(Repaired::NotStale);
        };
        let let_go = record
            .map()
            .is_some_and(|map| sight.find_map(map).is_none_or(|map| map.was_let_go()));
        let mut present = record.clone();
        present
            .publications
            .retain(|publication| !is_missing(publication, &sight.mounts));
        let standing = Standing::of(&present, &sight);
        let stale = match standing.as_ref().and_then(Standing::stale) {
            Some(stale) => stale,
            None if let_go => Stale::FilesystemDead,
            None if present == record => return Ok(Repaired::NotStale),
            None if !is_bindable(&record, &staged, &sight) => return Ok(Repaired::NotStale),
            None => {
                let missing = missing(&record, &sight);
                self.bind_all(record, &missing, &staged.disk)?;
                return Ok(Repaired::Done(Stale::Publication));
            }
        };
        if let Some(disk) = standing.as_ref().and_then(find_unrecorded) {
            record_shown(&mut record, &staged, &disk, &sight);
            let missing = missing(&record, &sight);
            // Without room for it, it is recorded later.
            return Ok(match self.bind_all(record, &missing, &disk)? {
                true => Repaired::Done(stale),
                false => Repaired::NotStale,
            });
        }
        let usable = find_usable(sight.tree(), &record.source.nqn, &staged.identity, None);
        let Some(namespace) = usable.first().copied().cloned() else {
            return Ok(Repaired::NotReached);
        };
        self.remount(record, &staged, &namespace, &sight)?;
        Ok(Repaired::Done(stale))
    }

    fn remount(
        &self,
        mut record: StageRecord,
        staged: &Staged,
        namespace: &Namespace,
        sight: &Sight,
    ) -> Result<(), RepairError> {
        let places = places(&record);
        let devices = mounted_devices(&places, sight);
        if let Some(user) = in_use::find_user(&self.ground.config.root, &devices, &places)? {
            return Err(RepairError::InUse(user));
        }
        let missing = missing(&record, sight);
        // Nothing is mounted at another place that shows no mount now: kubelet may be taking it away.
        let mut shown = Vec::new();
        for publication in &mut record.publications {
            let target = &publication.target_path;
            if sight.mounts.find_mount_at(target).is_some() {
                publication.withdrawn = true;
                shown.push(publication.clone());
            }
        }
        self.ground.records.write(&record)?;
        self.unmount_all(&record, &shown)?;
        let disk = self.new_disk(&record, staged, namespace);
        if disk.is_err() && record.capability.access == AccessType::Block {
            self.give_back(&record, &shown);
        }
        let disk = disk?;
        if let AccessType::Filesystem { fs, .. } = record.capability.access {
            self.mount_again(&record, namespace, &disk, fs)?;
        }
        record.phase = Phase::Staged(Staged {
            identity: staged.identity.clone(),
            disk: disk.clone(),
        });
        // The pods have lost their mounts: they get them back whatever can be written.
        self.ground.records.note(&record)?;
        self.bind_all(record, &[missing, shown].concat(), &disk)?;
        Ok(())
    }

    /// Gives the pods their mounts, and says whether that was recorded.
    fn bind_all(
        &self,
        mut record: StageRecord,
        withdrawn: &[Publication],
        disk: &Disk,
    ) -> Result<bool, RepairError> {
        // One pod that cannot get it keeps it from no other.
        let mut bound = Ok(());
        for publication in withdrawn {
            match self.bind_again(&record, publication, disk) {
                Ok(()) => {
                    let target = &publication.target_path;
                    let mut ours = record.publications.iter_mut();
                    if let Some(ours) = ours.find(|ours| ours.target_path == *target) {
                        ours.disk = disk.clone();
                        ours.withdrawn = false;
                    }
                }
                Err(error) => bound = bound.and(Err(error)),
            }
        }
        let is_recorded = self.ground.records.note(&record)?;
        bound.map(|()| is_recorded)
    }

    /// Unmounts what pods have, then the staging mount. Where one is used after all, what was taken
    /// away is given back.
    fn unmount_all(
        &self,
        record: &StageRecord,
        published: &[Publication],
    ) -> Result<(), RepairError> {
        let targets = published.iter().map(|publication| &publication.target_path);
        let staging = match record.capability.access {
            AccessType::Filesystem { .. } => Some(&record.staging_target_path),
            AccessType::Block => None,
        };
        for (gone, path) in targets.chain(staging).enumerate() {
            if let Err(error) = self.unmount_stale(record, path) {
                self.give_back(record, &published[..gone.min(published.len())]);
                return Err(error);
            }
        }
        Ok(())
    }

    fn unmount_stale(&self, record: &StageRecord, path: &Path) -> Result<(), RepairError> {
        let own = Own {
            map: self.ground.map_of(&record.volume_id, Some(record)),
            identity: record.identity(),
        };
        let deadline = Instant::now() + UNMOUNT;
        loop {
            match self.unmount_volume(path, own) {
                Err(UnmountVolumeError::Unmount {
                    source: UnmountError::Busy { .. },
                    ..
                }) if Instant::now() < deadline => {
                    std::thread::park_timeout(AGAIN);
                }
                Err(UnmountVolumeError::Unmount {
                    source: UnmountError::Busy { .. },
                    ..
                }) => return Err(RepairError::InUse(User::Unseen(path.to_owned()))),
                done => return Ok(done?),
            }
        }
    }

    fn give_back(&self, record: &StageRecord, published: &[Publication]) {
        for publication in published {
            let staged = record.staged().map(|staged| staged.disk.clone());
            let bound = staged.map(|disk| self.bind_again(record, publication, &disk));
            if let Some(Err(error)) = bound {
                let error: &(dyn std::error::Error + 'static) = &error;
                let path = publication.target_path.display();
                tracing::warn!(%path, error, "a pod has lost the mount of its volume");
            }
        }
    }

    /// The disk that is mounted from now on.
    fn new_disk(
        &self,
        record: &StageRecord,
        staged: &Staged,
        namespace: &Namespace,
    ) -> Result<Disk, RepairError> {
        let Some(map) = record.map() else {
            return Disk::of(namespace).ok_or(RepairError::Map(SwapError::NoDisk));
        };
        let known = self.ground.read_map(map)?;
        if known.is_some_and(|known| known.was_let_go()) {
            let _map = self.holds.lock_map(map).map_err(RepairError::OldMap)?;
            self.ground
                .host()
                .remove_map(map)
                .map_err(RepairError::OldMap)?;
        }
        let made = self.holds.make_map(Below {
            map,
            nqn: &record.source.nqn,
            identity: &staged.identity,
            read_only: record.is_map_read_only(namespace.read_only),
        })?;
        made.ok_or(RepairError::Map(SwapError::NoDisk))
    }

    fn mount_again(
        &self,
        record: &StageRecord,
        namespace: &Namespace,
        disk: &Disk,
        fs: FilesystemType,
    ) -> Result<(), RepairError> {
        let AccessType::Filesystem { flags, .. } = &record.capability.access else {
            return Ok(());
        };
        let device = self.ground.node(disk);
        let access = record.capability.mount_access();
        let found = self.inspect(&device)?;
        // It was mounted here, so whatever is found now, nothing is made.
        match next_step(&found, fs, Memory::Mounted, access)? {
            Step::Mount => {}
            Step::Check => self.ground.host().check(&device, fs)?,
            Step::Format(_) => return Err(PrepareError::Emptied.into()),
        }
        tracing::info!(volume_id = %record.volume_id, disk = %disk, nsid = ?namespace.identity.nsid, "mounting anew");
        Ok(self.ground.host().mount(&MountRequest {
            device,
            target: record.staging_target_path.clone(),
            fs,
            flags: flags.clone(),
            access,
        })?)
    }

    fn bind_again(
        &self,
        record: &StageRecord,
        publication: &Publication,
        disk: &Disk,
    ) -> Result<(), RepairError> {
        let source: PathBuf = match record.capability.access {
            AccessType::Filesystem { .. } => record.staging_target_path.clone(),
            AccessType::Block => self.ground.node(disk).path,
        };
        // Held open, the node cannot become another disk's before it is bound.
        let _node = match record.capability.access {
            AccessType::Filesystem { .. } => None,
            AccessType::Block => Some(self.ground.open_node(&self.ground.node(disk))?),
        };
        let readonly = publication.readonly.applies(record.capability.mode);
        let access = match readonly {
            true => Access::ReadOnly,
            false => Access::ReadWrite,
        };
        let target = &publication.target_path;
        Ok(self
            .ground
            .host()
            .bind(&source, target, access, &publication.flags)?)
    }
}

/// Whether pods can be given what is staged: that of a filesystem is mounted.
fn is_bindable(record: &StageRecord, staged: &Staged, sight: &Sight) -> bool {
    let mount = sight.mounts.find_mount_at(&record.staging_target_path);
    match record.capability.access {
        AccessType::Filesystem { .. } => mount.is_some_and(|mount| shows(mount, &staged.disk)),
        AccessType::Block => true,
    }
}

/// The disk that everything of a filesystem shows already, though the record names another: an earlier repair has mounted it
/// and could not write that down.
fn find_unrecorded(standing: &Standing<'_>) -> Option<Disk> {
    let staging = standing.staging.as_ref()?;
    let disk = standing.disk.as_ref()?;
    let shows_disk = |published: &Published<'_>| {
        let mount = published.target.mount;
        mount.is_none_or(|mount| shows(mount, disk))
    };
    let is_unrecorded = staging.state == MountState::Unrecorded;
    (is_unrecorded && standing.publications.iter().all(shows_disk)).then(|| disk.clone())
}

/// Lets the record say which disk is mounted.
fn record_shown(record: &mut StageRecord, staged: &Staged, disk: &Disk, sight: &Sight) {
    record.phase = Phase::Staged(Staged {
        identity: staged.identity.clone(),
        disk: disk.clone(),
    });
    for publication in &mut record.publications {
        if sight
            .mounts
            .find_mount_at(&publication.target_path)
            .is_some()
        {
            publication.disk = disk.clone();
            publication.withdrawn = false;
        }
    }
}

/// What an earlier repair took from pods and did not give back.
fn missing(record: &StageRecord, sight: &Sight) -> Vec<Publication> {
    let publications = record.publications.iter();
    let missing = publications.filter(|publication| is_missing(publication, &sight.mounts));
    missing.cloned().collect()
}

/// Every place at which this program has mounted the volume.
fn places(record: &StageRecord) -> Vec<PathBuf> {
    let targets = record.publications.iter();
    let targets = targets.map(|publication| publication.target_path.clone());
    targets
        .chain([record.staging_target_path.clone()])
        .collect()
}

/// The devices of what is mounted at these places.
fn mounted_devices(places: &[PathBuf], sight: &Sight) -> Vec<DevT> {
    let mounts = places
        .iter()
        .filter_map(|place| sight.mounts.find_mount_at(place));
    let of_disk = mounts.filter(|mount| mount.filesystem != "devtmpfs");
    of_disk.map(|mount| mount.dev).collect()
}
