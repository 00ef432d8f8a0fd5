//! All volumes of this node, and what their operations share.
//!
//! Invariant: an operation that changes a volume holds the lock of that volume from its first look
//! to its last effect, also when nobody waits for its answer any more.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nvme_fabrics::HostIdentity;
use nvme_sysfs::Nqn;
use thiserror::Error;

use super::boot::{BootIdError, read_boot_id};
use super::capacity::Usage;
use super::locks::{Guard, Locks};
use super::mounts::read_mounts;
use super::place::pv_of;
use super::record::{Complete, RecordError, Records, StageRecord};
use super::sight::{LookError, Sight};
use super::volume_id::VolumeId;
use crate::host::dm::{Map, read_map};
use crate::host::mountinfo::MountTable;
use crate::host::question::Questions;
use crate::host::{Host, MapId};
use crate::report::reporter::Reporter;
use crate::shared::{Reading, Shared};
use crate::watch::{Snapshot, Trees};

/// What [`Volumes`] works on and with.
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

/// The volumes of this node.
#[derive(Debug)]
pub struct Volumes {
    pub(super) config: VolumesConfig,
    pub(super) records: Records,
    pub(super) locks: Locks<VolumeId>,
    /// What is seen of this node.
    pub(super) sights: Shared<Sight>,
    /// Held around connect and disconnect, so that nobody counts on a controller that goes.
    pub(super) subsystems: Locks<Nqn>,
    /// The part within this process of the lock of a map.
    pub(super) maps: Locks<MapId>,
    /// The volumes that are being unstaged, or whose stage is taken back: nothing is connected or made
    /// for them any more.
    pub(super) leaving: Locks<VolumeId>,
    /// What filesystems are asked that show nowhere that they have shut down.
    pub(super) questions: Questions,
    /// Which disks do not let themselves be opened.
    pub(super) opens: Questions,
    /// What each volume answered when it was last healthy.
    pub(super) last_usage: Mutex<HashMap<VolumeId, Vec<Usage>>>,
    /// When requests of a volume last failed at its target, and only they.
    pub(super) media_errors: Mutex<HashMap<VolumeId, Instant>>,
    /// Why the map of a volume does not get the disk that is there.
    pub(super) refused_disks: Mutex<HashMap<VolumeId, String>>,
    /// Why the I/O of a volume is not held by a map, or not all of it.
    pub(super) not_held: Mutex<HashMap<VolumeId, String>>,
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

impl Volumes {
    /// Opens the volumes of this node. Records of another boot are dropped, but for what still
    /// counts of them.
    ///
    /// # Errors
    /// [`OpenVolumesError`].
    pub fn new(config: VolumesConfig) -> Result<Volumes, OpenVolumesError> {
        let boot_id = read_boot_id(&config.root)?;
        let records = Records::at(&config.root, &config.state_dir, boot_id)?;
        records.drop_earlier_boots()?;
        records.mend();
        // A record that cannot be read may be of any subsystem.
        if let Ok((all, Complete::Yes)) = records.read_readable() {
            let nqns = all.into_iter().map(|record| record.source.nqn);
            config.trees.concern_only(nqns);
        }
        Ok(Volumes {
            config,
            records,
            locks: Locks::default(),
            sights: Shared::default(),
            subsystems: Locks::default(),
            maps: Locks::default(),
            leaving: Locks::default(),
            questions: Questions::default(),
            opens: Questions::default(),
            last_usage: Mutex::default(),
            media_errors: Mutex::default(),
            refused_disks: Mutex::default(),
            not_held: Mutex::default(),
        })
    }

    /// Tells as which PersistentVolume each volume is here, for the events that may have to be posted.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn tell_present(&self) -> Result<(), RecordError> {
        for record in self.records.read_all()?.iter().filter(|r| r.is_active()) {
            let targets = record.publications.iter().map(|it| &it.target_path);
            for path in [&record.staging_target_path].into_iter().chain(targets) {
                self.tell_coming(&record.volume_id, path);
            }
        }
        Ok(())
    }

    /// Tells as which PersistentVolume a volume comes, where kubelet's path holds its name.
    pub(super) fn tell_coming(&self, id: &VolumeId, path: &Path) {
        if let Some(pv) = pv_of(path) {
            self.config.reporter.came(id.as_str(), &pv);
        }
    }

    /// Who this host is to a target.
    #[must_use]
    pub fn identity(&self) -> &HostIdentity {
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

    /// Looks at everything, together with all who ask at the same time.
    ///
    /// # Errors
    /// [`LookError`].
    pub fn look(&self) -> Result<Reading<Sight>, LookError> {
        self.sights
            .read(|| self.look_beside(self.config.trees.scan()?))
    }

    /// Looks at everything but the devices, which somebody has just read.
    ///
    /// # Errors
    /// [`LookError`].
    pub fn look_beside(&self, tree: Snapshot) -> Result<Sight, LookError> {
        Sight::beside(&self.config.root, tree, &self.questions)
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
}
