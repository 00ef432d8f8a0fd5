//! What every operation stands on: the machine, what is recorded of its volumes, and who is at work on them.
//!
//! Invariant: an operation that changes a volume holds the lock of that volume from its first look
//! to its last effect, also when nobody waits for its answer any more.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nvme_fabrics::HostIdentity;
use nvme_sysfs::{Instance, Nqn, ScanError, Tree};
use thiserror::Error;

use super::boot::{BootIdError, read_boot_id};
use super::identity::Disk;
use super::locks::{Guard, Locks};
use super::mounts::read_mounts;
use super::owner::{OwnerError, is_driver, read_owner};
use super::record::{Complete, Phase, RecordError, Records, StageRecord};
use super::sight::LookError;
use super::volume_id::VolumeId;
use crate::host::device_node::{OpenNodeError, Opening};
use crate::host::dm::{Map, read_map};
use crate::host::mountinfo::MountTable;
use crate::host::{DeviceNode, Host, MapId};
use crate::report::metrics::Metrics;
use crate::report::reporter::Reporter;
use crate::watch::{Snapshot, Trees};

/// What [`Volumes`](super::Volumes) works on and with.
#[derive(Debug)]
pub struct VolumesConfig {
    /// Where sys, proc and dev are found.
    pub root: PathBuf,
    /// Name of the driver, by which its maps and controllers are told from those of another one on this node.
    pub driver: String,
    /// Where the records are kept; it must survive a restart of the program.
    pub state_dir: PathBuf,
    /// Through whom the machine is changed.
    pub host: Arc<dyn Host>,
    /// Snapshots of the NVMe devices below `root`.
    pub trees: Trees,
    /// Who this host is to a target.
    pub identity: HostIdentity,
    /// How long things may take.
    pub timing: Timing,
    /// Who hears of what is lost.
    pub reporter: Reporter,
    /// Where connects are counted.
    pub metrics: Arc<Metrics>,
}

/// How long an operation waits for the kernel and the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Until the namespace is there once a controller is connected.
    pub namespace: Duration,
    /// Until the namespace has the wanted size once the controllers were told to look.
    pub size: Duration,
    /// Until a path returns before a volume that is to be unstaged is cut off.
    pub path: Duration,
    /// After how long a controller that shows no namespace is told to look again.
    pub rescan: Duration,
}

impl Default for Timing {
    /// kubelet gives a call two minutes: the waits leave time for dialling and for a filesystem. A
    /// namespace follows its controller within a second unless the kernel has missed it.
    fn default() -> Timing {
        Timing {
            namespace: Duration::from_secs(45),
            size: Duration::from_secs(45),
            path: Duration::from_secs(30),
            rescan: Duration::from_secs(3),
        }
    }
}

/// What all operations share.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) config: VolumesConfig,
    pub(super) records: Records,
    pub(super) locks: Locks<VolumeId>,
    /// The volumes that are being unstaged, or whose stage is taken back: nothing is connected or made
    /// for them any more.
    leaving: Locks<VolumeId>,
    /// Held around connect and disconnect, so that nobody counts on a controller that goes.
    pub(super) subsystems: Locks<Nqn>,
}

/// Why there are no volumes to work on.
#[derive(Debug, Error)]
pub enum OpenVolumesError {
    /// It cannot be told which boot this is.
    #[error(transparent)]
    Boot(#[from] BootIdError),
    /// The records cannot be listed.
    #[error("cannot read the stage records")]
    Records(#[from] RecordError),
}

impl Ground {
    /// Opens the records of this node. Those of another boot are dropped, but for what still
    /// counts of them.
    pub(super) fn new(config: VolumesConfig) -> Result<Ground, OpenVolumesError> {
        let boot_id = read_boot_id(&config.root)?;
        let records = Records::at(&config.root, &config.state_dir, boot_id)?;
        records.drop_earlier_boots()?;
        records.mend();
        let ground = Ground {
            config,
            records,
            locks: Locks::default(),
            leaving: Locks::default(),
            subsystems: Locks::default(),
        };
        ground.staged()?;
        Ok(ground)
    }

    /// The NVMe devices now.
    pub(super) fn scan(&self) -> Result<Snapshot, LookError> {
        Ok(self.config.trees.scan()?)
    }

    /// The subsystems of this name now.
    pub(super) fn scan_subsystem(&self, nqn: &Nqn) -> Result<Tree, LookError> {
        Ok(self.config.trees.scan_subsystem(nqn)?)
    }

    /// Who this host is to a target.
    pub(super) fn identity(&self) -> &HostIdentity {
        &self.config.identity
    }

    /// From now until the guard is dropped nothing is brought back for this volume.
    pub(super) fn leave(&self, id: &VolumeId) -> Guard<'_, VolumeId> {
        self.leaving.lock(id)
    }

    /// Through whom the machine is changed.
    pub(super) fn host(&self) -> &dyn Host {
        self.config.host.as_ref()
    }

    /// What is staged here, as far as it can be read. From now on the trees concern those; a record that cannot be read
    /// may be of any subsystem.
    pub(super) fn staged(&self) -> Result<(Vec<StageRecord>, Complete), RecordError> {
        let read = || self.records.read_readable();
        let found = self.config.trees.concern_found(read, |found| {
            let (records, _) = &**found.as_ref().ok().filter(|it| it.1 == Complete::Yes)?;
            let nqns = records.iter().map(|record| record.source.nqn.clone());
            Some(nqns.collect())
        });
        let (records, complete) = &*found?;
        let active = records.iter().filter(|record| record.is_active());
        Ok((active.cloned().collect(), *complete))
    }

    /// Whether an operation on the volume runs, which may have taken away what is not there.
    pub(super) fn is_busy(&self, id: &VolumeId) -> bool {
        self.locks.is_locked(id) || self.leaving.is_locked(id)
    }

    /// The record of a volume that is here and not on its way out. While its first stage connects it,
    /// it is that call's alone: what others connect meanwhile, a failed stage would not take back.
    pub(super) fn find_wanted(&self, id: &VolumeId) -> Result<Option<StageRecord>, RecordError> {
        if self.leaving.is_locked(id) {
            return Ok(None);
        }
        let record = self.records.read(id)?.filter(StageRecord::is_active);
        let is_being_attached =
            |record: &StageRecord| record.phase == Phase::Attaching && self.locks.is_locked(id);
        Ok(record.filter(|record| !is_being_attached(record)))
    }

    /// Whether this driver may have connected a controller: its name stands in the registry, or that of a version
    /// which told nobody apart.
    pub(super) fn owns(&self, controller: Instance) -> Result<bool, OwnerError> {
        let owner = read_owner(&self.config.root, controller)?;
        Ok(is_driver(owner.as_ref(), Some(&self.config.driver)))
    }

    /// The mounts that this program sees.
    pub(super) fn read_mounts(&self) -> Result<MountTable, LookError> {
        Ok(read_mounts(&self.config.root)?)
    }

    /// One map.
    pub(super) fn read_map(&self, map: MapId) -> Result<Option<Map>, LookError> {
        Ok(read_map(&self.config.root, map)?)
    }

    /// The map that the record of a volume names, or that it would be given.
    pub(super) fn map_of(&self, id: &VolumeId, record: Option<&StageRecord>) -> MapId {
        let named = record.and_then(StageRecord::map);
        named.unwrap_or_else(|| MapId::of_volume(&self.config.driver, id.as_str()))
    }

    /// The device node of a disk, with what it must lead to.
    pub(super) fn node(&self, disk: &Disk) -> DeviceNode {
        DeviceNode {
            path: self.config.root.join("dev").join(&disk.name),
            dev: disk.dev,
            diskseq: disk.diskseq(),
        }
    }

    /// Opens a node that is proved to be the disk's. On a captured tree, where no node can be made, a
    /// plain file stands for it.
    pub(super) fn open_node(&self, device: &DeviceNode) -> Result<File, OpenNodeError> {
        let opened = device.open(&self.config.root, Opening::Shared);
        match (opened, self.config.root.parent()) {
            (Err(OpenNodeError::NotBlock { path }), Some(_)) => {
                File::open(&path).map_err(|_| OpenNodeError::NotBlock { path })
            }
            (opened, _) => opened,
        }
    }

    /// The next published tree, or at `until` one of our own.
    pub(super) fn next_snapshot(
        &self,
        seen: &Snapshot,
        until: Instant,
    ) -> Result<Snapshot, ScanError> {
        match self.config.trees.wait_newer(seen, until) {
            Some(newer) => Ok(newer),
            None => self.config.trees.scan(),
        }
    }
}
