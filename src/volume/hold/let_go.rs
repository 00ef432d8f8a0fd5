//! Letting go of what waits for a path that does not come back.
//!
//! Two places can hold I/O: the map, which is told to fail it, and a controller below the map, which is
//! deleted: one that is still `connecting`, or one through which the target does not serve the namespace
//! now, nor any other. Where the target answers everything but I/O, any of them may hold some: it is reset first,
//! for a controller with I/O in flight is deleted only after that has timed out (30 s). A controller that other volumes
//! need stays unless they hold what it drops by maps of their own; so does one that this driver has not connected, and
//! one with a disk that somebody else uses, or may use.
//!
//! Invariants: a map that was let go never holds again, so none is while its I/O flows, which is asked under its
//! lock.

use nvme_fabrics::DisconnectError;
use nvme_sysfs::{Controller, Instance, Namespace, Nqn, Subsystem, Tree};
use thiserror::Error;

use super::super::flow::Flow;
use super::super::owner::OwnerError;
use super::super::record::{RecordError, StageRecord};
use super::super::sight::LookError;
use super::holds::Holds;
use crate::host::disconnects::{disconnect_all, reset_all, without_needed};
use crate::host::dm::Map;
use crate::host::{MapError, MapId};

/// Why I/O still waits.
#[derive(Debug, Error)]
pub enum LetGoError {
    /// The map was not told.
    #[error("cannot tell the map to let go")]
    Map(#[from] MapError),
    /// It cannot be told whether others need the controllers.
    #[error("cannot tell whether other volumes need the subsystem")]
    Records(#[from] RecordError),
    /// It cannot be told who connected a controller.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// It cannot be told whether anything waits.
    #[error(transparent)]
    Look(#[from] LookError),
    /// A controller could not be deleted.
    #[error("cannot disconnect {controller}, in which I/O may wait")]
    Disconnect {
        /// Which.
        controller: Instance,
        /// Why.
        source: DisconnectError,
    },
}

/// Whether I/O was let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetGo {
    /// What waited fails.
    Done,
    /// Its disk is reached again, so nothing waits.
    Reached,
}

/// For what I/O waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// For a path.
    ForPath,
    /// For a target that completes nothing, though its controllers are live.
    ForTarget {
        /// How much had been completed when that was found.
        completed: u64,
    },
}

impl Waits {
    /// Whether that is over: a path is there, or something was completed.
    fn are_over(self, map: &Map, tree: &Tree) -> bool {
        match self {
            Waits::ForPath => Flow::of_map(map, tree) == Flow::Reached,
            Waits::ForTarget { completed } => map.io.is_none_or(|io| io.done != completed),
        }
    }
}

impl Holds {
    /// Lets everything fail that waits for a path, or for its target, of a volume that is held by a map.
    pub(in crate::volume) fn let_go(
        &self,
        record: Option<&StageRecord>,
        map: MapId,
        waits: Waits,
    ) -> Result<LetGo, LetGoError> {
        {
            let _map = self.lock_map(map)?;
            let tree = self.ground.scan()?;
            let known = self.ground.read_map(map)?;
            // What was begun is done: some of its I/O may have failed.
            if known.is_some_and(|known| !known.is_let_go && waits.are_over(&known, &tree)) {
                return Ok(LetGo::Reached);
            }
            match self.ground.host().let_go_map(map) {
                Ok(()) | Err(MapError::Missing { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let Some(record) = record else {
            return Ok(LetGo::Done);
        };
        let nqn = &record.source.nqn;
        let _subsystem = self.ground.subsystems.lock(nqn);
        let others = self.ground.records.read_all()?;
        let wants = |other: &&StageRecord| other.volume_id != record.volume_id && other.wants(nqn);
        let held = |other: &StageRecord| other.hold.as_ref().is_some_and(|h| h.map().is_some());
        if !others.iter().filter(wants).all(held) {
            return Ok(LetGo::Done);
        }
        let tree = self.ground.scan()?;
        let stuck = self.find_deletable(&tree, record, &others, waits)?;
        let stuck: Vec<_> = stuck.into_iter().map(|it| (it, nqn)).collect();
        if waits != Waits::ForPath {
            self.reset_stuck(&stuck);
        }
        for (controller, done) in disconnect_all(self.ground.host(), &stuck) {
            done.map_err(|source| LetGoError::Disconnect { controller, source })?;
        }
        Ok(LetGo::Done)
    }

    /// The controllers in which I/O of the volume may wait, as far as they are this driver's and nobody else would lose
    /// a disk with them. What waits in the others ends when they do.
    fn find_deletable(
        &self,
        tree: &Tree,
        record: &StageRecord,
        others: &[StageRecord],
        waits: Waits,
    ) -> Result<Vec<Instance>, LetGoError> {
        let volume_id = &record.volume_id;
        let mut stuck = Vec::new();
        for controller in find_stuck(tree, record, waits) {
            match self.ground.owns(controller)? {
                true => stuck.push(controller),
                false => {
                    tracing::warn!(%volume_id, %controller, "I/O may wait in a controller of others")
                }
            }
        }
        let is_volume = |disk: &Namespace| {
            let mut records = others.iter().chain([record]);
            records.any(|record| record.identity().is_some_and(|it| it.names(disk)))
        };
        Ok(without_needed(
            &self.ground.config.root,
            tree,
            stuck,
            is_volume,
        ))
    }

    /// Ends the I/O of controllers whose target completes nothing. A reset that fails leaves it to its time-out.
    fn reset_stuck(&self, stuck: &[(Instance, &Nqn)]) {
        for (controller, done) in reset_all(self.ground.host(), stuck) {
            if let Err(error) = done {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::warn!(%controller, error, "its I/O ends only by its time-out");
            }
        }
    }
}

/// The controllers in which I/O of a volume may wait; any, where the target completes nothing.
fn find_stuck(tree: &Tree, record: &StageRecord, waits: Waits) -> Vec<Instance> {
    let ours = |disk: &Namespace| record.identity().is_some_and(|it| it.names(disk));
    let subsystems = tree.find_subsystems(&record.source.nqn);
    let controllers = subsystems.flat_map(|subsystem| &subsystem.controllers);
    let stuck = controllers.filter(|it| waits != Waits::ForPath || may_wait_in(tree, it, ours));
    stuck.map(|controller| controller.instance).collect()
}

/// Whether I/O of one of these disks may wait for a path in a controller: it is not live, or the target serves other
/// namespaces through it at most.
pub(super) fn may_wait_in(
    tree: &Tree,
    controller: &Controller,
    is_meant: impl Fn(&Namespace) -> bool,
) -> bool {
    let waits = |subsystem: &Subsystem| {
        let mut disks = subsystem.namespaces.iter().filter(|disk| is_meant(disk));
        disks.any(|disk| subsystem.waits_behind(disk, controller))
    };
    !controller.is_live() || tree.subsystems.iter().any(waits)
}
