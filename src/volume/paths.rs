//! The controllers through which volumes are reached: connecting them, looking through them, taking them away.
//!
//! The order of locks is volume, then map or subsystem; nobody who has one of these takes that of a volume. What connects or
//! disconnects holds the lock of the subsystem: `connect`, `detach` and `claim_left_behind_for` under that of the volume,
//! `reach`, `claim_left_behind` and `drop_controller` without it, so that `reach` reads the record again, for the volume may
//! have left meanwhile. `look_again`, `rescan` and `keep_controllers` take no lock: what they tell a controller takes
//! nothing away.

pub(super) mod attach;
pub(super) mod detach;
mod dial;
mod options;
mod wait;

use std::sync::Arc;
use std::time::Instant;

use nvme_fabrics::{
    ConnectError, ConnectHow, ConnectOptions, Connected, DisconnectError, OptionsError, Owner,
    RescanError,
};
use nvme_sysfs::{Controller, Instance, Nqn, ScanError, Tree};
use thiserror::Error;

use super::ground::Ground;
use super::hold::Hold;
use super::owner::{OwnerError, read_owner};
use super::record::{RecordError, StageRecord};
use super::standing::carrier::controllers_of;
use super::volume_id::VolumeId;
use crate::host::last_path::find_disks_losing_last_path;
use crate::host::usage::{Look, UsageError, find_any_use};
pub use attach::AttachError;
pub use detach::DetachError;
pub(crate) use options::connect_options;

/// What leads to the volumes of this node.
#[derive(Debug)]
pub struct Paths {
    ground: Arc<Ground>,
}

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

/// Why the controllers of a volume are as they were.
#[derive(Debug, Error)]
pub enum PathError {
    /// The record cannot be read.
    #[error("cannot read what is staged here")]
    Record(#[from] RecordError),
    /// The recorded parameters are not valid.
    #[error("the parameters of the connection are not valid")]
    Options(#[from] OptionsError),
    /// The target does not answer, or does not let us in.
    #[error("cannot connect")]
    Connect(#[from] ConnectError),
    /// The devices cannot be read.
    #[error("cannot read the NVMe devices")]
    Scan(#[from] ScanError),
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

impl PathError {
    /// Whether the target's port answered, so that it is worth while to try again soon.
    #[must_use]
    pub fn was_answered(&self) -> bool {
        !matches!(self, PathError::Connect(ConnectError::Portal(_)))
    }
}

impl Paths {
    pub(super) fn on(ground: Arc<Ground>) -> Paths {
        Paths { ground }
    }

    /// Connects one address, which is counted and timed.
    pub(super) fn dial(&self, options: &ConnectOptions) -> Result<Connected, ConnectError> {
        let began = Instant::now();
        let connected = self.ground.host().connect(options);
        let result = match &connected {
            Ok(connected) if connected.how == ConnectHow::Created => "created",
            Ok(_) => "adopted",
            Err(_) => "failed",
        };
        self.ground.config.metrics.connect(result, began.elapsed());
        connected
    }

    /// Connects the endpoint with this place in the source of a volume, if the volume is still here.
    ///
    /// # Errors
    /// [`PathError`].
    pub fn reach(&self, id: &VolumeId, endpoint: usize) -> Result<Reached, PathError> {
        let Some(record) = self.ground.find_wanted(id)? else {
            return Ok(Reached::NotWanted);
        };
        let nqn = record.source.nqn.clone();
        // Whoever has it may be waiting for a silent peer: one minute of that must not keep a thread that others need.
        let Some(_subsystem) = self.ground.subsystems.try_lock(&nqn) else {
            return Ok(Reached::NotNow);
        };
        let Some(record) = self.ground.find_wanted(id)? else {
            return Ok(Reached::NotWanted);
        };
        let hold = record.hold.as_ref().unwrap_or(&Hold::None);
        let secrets = self.ground.records.read_secrets(id)?;
        let options = connect_options(&record.source, hold, &secrets, self.ground.identity())?;
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
    /// [`PathError`], where nothing could be looked at.
    pub fn claim_left_behind(&self) -> Result<(), PathError> {
        let (records, _) = self.ground.staged()?;
        let tree = self.ground.config.trees.scan()?;
        for record in &records {
            self.claim_left_behind_for(record, &tree);
        }
        Ok(())
    }

    /// The same for one volume. What fails is told, and stays as it is.
    pub(super) fn claim_left_behind_for(&self, record: &StageRecord, tree: &Tree) {
        let controllers = controllers_of(record, tree, &self.ground.identity().hostnqn);
        for (place, endpoint) in record.source.endpoints().iter().enumerate() {
            let is_unowned = controllers.iter().any(|controller| {
                let owner = read_owner(&self.ground.config.root, controller.instance);
                controller.address.same_endpoint(endpoint) && matches!(owner, Ok(None))
            });
            if is_unowned && let Err(error) = self.reach(&record.volume_id, place) {
                let error: &(dyn std::error::Error + 'static) = &error;
                let volume_id = &record.volume_id;
                tracing::warn!(%volume_id, error, "it cannot be told whose a controller is");
            }
        }
    }

    /// Tells a controller of a volume to look for namespaces.
    ///
    /// # Errors
    /// [`PathError`].
    pub fn look_again(&self, id: &VolumeId, controller: Instance) -> Result<(), PathError> {
        let Some(record) = self.ground.find_wanted(id)? else {
            return Ok(());
        };
        let told = self.ground.host().rescan(controller, &record.source.nqn);
        told.map_err(|source| PathError::Rescan { controller, source })
    }

    /// Disconnects a controller of ours that serves nothing: no volume wants its subsystem, or it is
    /// live and shows no namespace. Returns whether it did.
    ///
    /// # Errors
    /// [`PathError`].
    pub fn drop_controller(&self, controller: Instance, nqn: &Nqn) -> Result<bool, PathError> {
        let _subsystem = self.ground.subsystems.lock(nqn);
        let records = self.ground.records.read_all()?;
        let tree = self.ground.config.trees.scan()?;
        tree.require(nqn)?;
        let is_wanted = records.iter().any(|record| record.wants(nqn));
        let serves_nothing = tree.orphans().any(|orphan| orphan.instance == controller);
        if is_wanted && !serves_nothing || !self.ground.owns(controller)? {
            return Ok(false);
        }
        let leaving = [controller];
        let losing = find_disks_losing_last_path(&tree, &leaving);
        if let Some(used) = find_any_use(&self.ground.config.root, losing, Look::Visible)? {
            tracing::debug!(%controller, %used, "a controller that serves no volume stays");
            return Ok(false);
        }
        let done = self.ground.host().disconnect(controller, nqn);
        done.map_err(|source| PathError::Disconnect { controller, source })?;
        Ok(true)
    }

    /// Whether nobody but this driver can want a controller: it connected it, or it is one of a discovery that was killed.
    ///
    /// # Errors
    /// [`OwnerError`].
    pub fn may_be_dropped(&self, controller: &Controller) -> Result<bool, OwnerError> {
        let owner = read_owner(&self.ground.config.root, controller.instance)?;
        Ok(owner.is_some_and(|owner| match owner {
            Owner::Driver(driver) => driver == self.ground.config.driver,
            other => other.is_this_program() && !controller.serves_io(),
        }))
    }
}
