//! What is done for a volume that is staged here without anybody having called: connecting what is
//! gone, giving its map a disk, letting go.
//!
//! Invariants: under the lock of the subsystem or of the map, never of the volume; the record is read
//! again under that lock, for the volume may have left meanwhile.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};

use nvme_fabrics::{
    ConnectError, ConnectHow, DisconnectError, OptionsError, Registry, RescanError,
};
use nvme_sysfs::{Instance, Nqn, ScanError, Tree};
use thiserror::Error;

use super::attach::connect_options;
use super::hold::{
    Below, CompanyError, Hold, LetGo, LetGoError, SwapError, Swapped, Waits, native_time,
};
use super::owner::OwnerError;
use super::record::{Complete, Phase, RecordError, StageRecord};
use super::sight::LookError;
use super::standing::carrier::{controllers_of, find_usable};
use super::volume_id::VolumeId;
use super::volumes::Volumes;
use crate::host::last_path::find_disks_losing_last_path;
use crate::host::usage::{Look, UsageError, find_any_use};
use crate::host::{HeadError, MapError};

/// What came of an attempt to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// There is a new controller.
    Connected,
    /// Somebody else had connected it.
    Adopted,
    /// The volume is not here any more.
    NotWanted,
    /// Somebody connects or disconnects the subsystem just now.
    NotNow,
}

/// Why a volume was not brought back.
#[derive(Debug, Error)]
pub enum RecoverError {
    /// The record cannot be read.
    #[error("cannot read what is staged here")]
    Record(#[from] RecordError),
    /// The recorded parameters are not valid.
    #[error("the parameters of the connection are not valid")]
    Options(#[from] OptionsError),
    /// The target does not answer, or does not let us in.
    #[error("cannot connect")]
    Connect(#[from] ConnectError),
    /// The map is not ours to change now.
    #[error("cannot change the map")]
    Map(#[from] MapError),
    /// The map did not get a disk.
    #[error(transparent)]
    Swap(#[from] SwapError),
    /// The map was not let go.
    #[error(transparent)]
    LetGo(#[from] LetGoError),
    /// A controller may keep its I/O.
    #[error(transparent)]
    Company(#[from] CompanyError),
    /// The head does not outlive its paths.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The devices cannot be read.
    #[error("cannot read the NVMe devices")]
    Scan(#[from] ScanError),
    /// The maps cannot be read.
    #[error(transparent)]
    Look(#[from] LookError),
    /// It cannot be told who connected a controller.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// It cannot be told whether a disk is in use.
    #[error("cannot tell whether a disk is in use")]
    Usage(#[from] UsageError),
    /// A controller that serves nothing stays.
    #[error("cannot disconnect {controller}")]
    Disconnect {
        /// Which.
        controller: Instance,
        /// Why.
        source: DisconnectError,
    },
    /// The controller was not told to look.
    #[error("cannot rescan {controller}")]
    Rescan {
        /// Which.
        controller: Instance,
        /// Why.
        source: RescanError,
    },
}

impl RecoverError {
    /// Whether the target's port answered, so that it is worth while to try again soon.
    #[must_use]
    pub fn was_answered(&self) -> bool {
        !matches!(self, RecoverError::Connect(ConnectError::Portal(_)))
    }
}

impl Volumes {
    /// What is staged here, as far as it can be read.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn staged(&self) -> Result<(Vec<StageRecord>, Complete), RecordError> {
        let (mut records, complete) = self.records.read_readable()?;
        records.retain(StageRecord::is_active);
        Ok((records, complete))
    }

    /// Whether an operation on the volume runs, which may have taken away what is not there.
    #[must_use]
    pub fn is_busy(&self, id: &VolumeId) -> bool {
        self.locks.is_locked(id) || self.leaving.is_locked(id)
    }

    /// Connects the endpoint with this place in the source of a volume, if the volume is still here.
    ///
    /// # Errors
    /// [`RecoverError`].
    pub fn reach(&self, id: &VolumeId, endpoint: usize) -> Result<Reached, RecoverError> {
        let Some(record) = self.find_wanted(id)? else {
            return Ok(Reached::NotWanted);
        };
        let nqn = record.source.nqn.clone();
        // Whoever has it may be waiting for a silent peer: one minute of that must not keep a thread that others need.
        let Some(_subsystem) = self.subsystems.try_lock(&nqn) else {
            return Ok(Reached::NotNow);
        };
        let Some(record) = self.find_wanted(id)? else {
            return Ok(Reached::NotWanted);
        };
        let hold = record.hold.as_ref().unwrap_or(&Hold::None);
        let secrets = self.records.read_secrets(id)?;
        let options = connect_options(&record.source, hold, &secrets, self.identity())?;
        let Some(options) = options.get(endpoint) else {
            return Ok(Reached::NotWanted);
        };
        Ok(match self.dial(options)?.how {
            ConnectHow::Created => Reached::Connected,
            ConnectHow::Adopted => Reached::Adopted,
        })
    }

    /// Connects what is connected already, where nobody owns it: a process of this program may have made it, and been
    /// killed before it could say so. What is ours then goes with its volume.
    ///
    /// # Errors
    /// [`RecoverError`], where nothing could be looked at.
    pub fn claim_left_behind(&self) -> Result<(), RecoverError> {
        let (records, _) = self.staged()?;
        let tree = self.config.trees.scan()?;
        for record in &records {
            self.claim_left_behind_for(record, &tree);
        }
        Ok(())
    }

    /// The same for one volume. What fails is told, and stays as it is.
    pub(super) fn claim_left_behind_for(&self, record: &StageRecord, tree: &Tree) {
        let registry = Registry::at(&self.config.root);
        let controllers = controllers_of(record, tree, &self.identity().hostnqn);
        for (place, endpoint) in record.source.endpoints().iter().enumerate() {
            let is_unowned = controllers.iter().any(|controller| {
                let owner = registry.owner(controller.instance);
                controller.address.same_endpoint(endpoint) && matches!(owner, Ok(None))
            });
            if is_unowned && let Err(error) = self.reach(&record.volume_id, place) {
                let error: &(dyn std::error::Error + 'static) = &error;
                let volume_id = &record.volume_id;
                tracing::warn!(%volume_id, error, "it cannot be told whose a controller is");
            }
        }
    }

    /// Gives the map of a volume the disk that carries it now.
    ///
    /// # Errors
    /// [`RecoverError`].
    pub fn bring_back(&self, id: &VolumeId) -> Result<Swapped, RecoverError> {
        if !self.can_open_disks(id)? {
            return Ok(Swapped::NoDisk);
        }
        let Some((locked, record)) = self.lock_wanted(id)? else {
            return Ok(Swapped::Already);
        };
        let Some(below) = Below::of(&record) else {
            return Ok(Swapped::Already);
        };
        let swapped = self.swap_locked(below, &locked);
        let mut refused = self.refused_disks();
        match &swapped {
            Err(SwapError::Map(error @ MapError::Busy { .. })) => {
                refused.insert(id.clone(), error.to_string());
            }
            _ => {
                refused.remove(id);
            }
        }
        Ok(swapped?)
    }

    /// Why the map of each volume does not get the disk that is there.
    pub(super) fn refused_disks(&self) -> MutexGuard<'_, HashMap<VolumeId, String>> {
        let refused = self.refused_disks.lock();
        refused.unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the disks that the map of a volume may take can be opened without waiting for their target. The kernel reads
    /// a new disk for partitions, and whoever opens it waits for that: to load a table would, under the lock of the map.
    fn can_open_disks(&self, id: &VolumeId) -> Result<bool, RecoverError> {
        let record = self.find_wanted(id)?;
        let Some((record, identity)) = record.as_ref().and_then(|r| Some((r, r.identity()?)))
        else {
            return Ok(true);
        };
        let tree = self.config.trees.scan_subsystem(&record.source.nqn)?;
        let disks = find_usable(&tree, &record.source.nqn, identity, None).into_iter();
        let nodes = disks.map(|disk| self.config.root.join("dev").join(&disk.name));
        Ok(self.opens.all_answer_an_open(nodes.collect()))
    }

    /// Lets everything of a volume fail that waits, and says whether anything did.
    ///
    /// # Errors
    /// [`RecoverError`].
    pub fn give_up(&self, id: &VolumeId, waits: Waits) -> Result<LetGo, RecoverError> {
        let record = self.records.read(id)?;
        match record.as_ref().and_then(|r| Some((r, r.map()?))) {
            Some((record, map)) => Ok(self.let_go(Some(record), map, waits)?),
            None => Ok(LetGo::Reached),
        }
    }

    /// Tunes the controllers and heads of a volume as its hold needs them.
    ///
    /// # Errors
    /// [`RecoverError`].
    pub fn retune(&self, id: &VolumeId) -> Result<(), RecoverError> {
        let Some(record) = self.find_wanted(id)? else {
            return Ok(());
        };
        let Some(hold) = &record.hold else {
            return Ok(());
        };
        let nqn = &record.source.nqn;
        let tree = self.config.trees.scan()?;
        match (hold, record.identity()) {
            (Hold::Dm(_), Some(identity)) => {
                let done = self.give_up_at_once(&tree, nqn, identity, &mut Vec::new());
                match &done {
                    Err(CompanyError::Keeping(keeping)) => {
                        self.not_held().insert(id.clone(), keeping.to_string());
                    }
                    _ => drop(self.not_held().remove(id)),
                }
                done?;
            }
            (Hold::Native, Some(identity)) => {
                let time = native_time(record.source.path_loss_timeout);
                let heads = tree.find_subsystems(nqn).flat_map(|it| &it.namespaces);
                for head in heads.filter(|head| identity.check(head).is_ok()) {
                    self.host().keep_head(&head.name, time)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Tells a controller of a volume to look for namespaces.
    ///
    /// # Errors
    /// [`RecoverError`].
    pub fn look_again(&self, id: &VolumeId, controller: Instance) -> Result<(), RecoverError> {
        let Some(record) = self.find_wanted(id)? else {
            return Ok(());
        };
        let told = self.host().rescan(controller, &record.source.nqn);
        told.map_err(|source| RecoverError::Rescan { controller, source })
    }

    /// Disconnects a controller of ours that serves nothing: no volume wants its subsystem, or it is
    /// live and shows no namespace. Returns whether it did.
    ///
    /// # Errors
    /// [`RecoverError`].
    pub fn drop_controller(&self, controller: Instance, nqn: &Nqn) -> Result<bool, RecoverError> {
        let _subsystem = self.subsystems.lock(nqn);
        let records = self.records.read_all()?;
        let tree = self.config.trees.scan()?;
        let is_wanted = records.iter().any(|record| record.wants(nqn));
        let serves_nothing = tree.orphans().any(|orphan| orphan.instance == controller);
        if is_wanted && !serves_nothing || !self.owns(controller)? {
            return Ok(false);
        }
        let leaving = [controller];
        let losing = find_disks_losing_last_path(&tree, &leaving);
        if let Some(used) = find_any_use(&self.config.root, losing, Look::Visible)? {
            tracing::debug!(%controller, %used, "a controller that serves no volume stays");
            return Ok(false);
        }
        let done = self.host().disconnect(controller, nqn);
        done.map_err(|source| RecoverError::Disconnect { controller, source })?;
        Ok(true)
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
}
