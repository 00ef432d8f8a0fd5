//! Letting go without the plugin, for whoever cannot wait: the shutdown of a node, or an administrator.
//!
//! The same two places as in `let_go`. But a map is told though a path of it seems to be usable: whoever asks knows that
//! its target is gone, which its controllers find only after their keep-alive time. Invariants: only maps of this program
//! are told, each under its lock; only controllers of this program in which I/O may wait are deleted, and none with which
//! somebody else would lose a disk.

use std::path::Path;
use std::time::Duration;

use nvme_fabrics::DisconnectError;
use nvme_sysfs::{Instance, Namespace, Nqn, ScanError, Sysfs, Tree};
use thiserror::Error;

use super::let_go::may_wait_in;
use crate::host::disconnects::{disconnect_all, without_needed};
use crate::host::dm::{LOCK_PATIENCE, Map, ReadMapsError, lock, read_maps};
use crate::host::{Host, MapError, MapId};
use crate::volume::owner::{OwnerError, read_owner};
use crate::volume::record::StageRecord;

/// What was let go of.
#[derive(Debug, Default)]
pub struct Released {
    /// The maps.
    pub maps: Vec<MapId>,
    /// The controllers that were deleted.
    pub controllers: Vec<Instance>,
}

/// Why I/O may still wait.
#[derive(Debug, Error)]
pub enum ReleaseError {
    /// The maps are not known.
    #[error("cannot tell which maps there are")]
    Maps(#[from] ReadMapsError),
    /// The volumes of the subsystem are not all known.
    #[error("cannot tell whether a map of the subsystem is left: {0}")]
    Records(String),
    /// The devices are not known.
    #[error("cannot read the NVMe devices")]
    Scan(#[from] ScanError),
    /// A map holds on.
    #[error("the map {} was not told to let go", map.name())]
    Map {
        /// Which.
        map: MapId,
        /// Why.
        source: MapError,
    },
    /// It is not known whose a controller is.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// A controller stays.
    #[error("cannot delete {controller}, in which I/O may wait")]
    Disconnect {
        /// Which.
        controller: Instance,
        /// Why.
        source: DisconnectError,
    },
}

/// What plugins keep on this node.
#[derive(Debug, Clone, Copy)]
pub struct Recorded<'a> {
    /// The records that can be read.
    pub known: &'a [StageRecord],
    /// What cannot be read, with its path; nobody knows what it says.
    pub unknown: &'a [String],
}

/// Lets go of what waits for the subsystem, or of all that waits on this node.
///
/// # Errors
/// [`ReleaseError`], the first one: what does not let go keeps nothing else from it.
pub fn release(
    root: &Path,
    host: &dyn Host,
    recorded: Recorded<'_>,
    nqn: Option<&Nqn>,
) -> Result<Released, ReleaseError> {
    let mut released = Released::default();
    let mut first_failure = None;
    if nqn.is_some() && !recorded.unknown.is_empty() {
        first_failure = Some(ReleaseError::Records(recorded.unknown.join("; ")));
    }
    let maps = find_maps(root, recorded, nqn)?;
    let held = let_go((root, host), maps, Duration::ZERO, &mut released);
    let tree = Sysfs::at(root).scan()?;
    let mut stuck = find_stuck(root, &tree, nqn, &mut first_failure);
    let deletable = find_deletable(root, recorded, &tree, &stuck)?;
    stuck.retain(|(it, _)| deletable.contains(it));
    for (controller, done) in disconnect_all(host, &stuck) {
        match done {
            Ok(()) => released.controllers.push(controller),
            Err(source) => {
                first_failure.get_or_insert(ReleaseError::Disconnect { controller, source });
            }
        }
    }
    // What the plugin waited for with their locks may have ended with those controllers.
    let held = held.into_iter().map(|(map, _)| map).collect();
    let held = let_go((root, host), held, LOCK_PATIENCE, &mut released).into_iter();
    let held = held.map(|(map, source)| ReleaseError::Map { map, source });
    held.chain(first_failure).next().map_or(Ok(released), Err)
}

/// Lets the I/O of maps fail, each under its lock, and gives those that hold on. Each lock is waited for so long.
fn let_go(
    (root, host): (&Path, &dyn Host),
    maps: Vec<MapId>,
    patience: Duration,
    released: &mut Released,
) -> Vec<(MapId, MapError)> {
    let mut held = Vec::new();
    for map in maps {
        let done = lock(root, map, patience).and_then(|_locked| host.let_go_map(map));
        match done {
            // One that has gone meanwhile holds nothing.
            Err(MapError::Missing { .. }) => {}
            Ok(()) => released.maps.push(map),
            Err(error) => held.push((map, error)),
        }
    }
    held
}

/// The maps that are meant.
fn find_maps(
    root: &Path,
    recorded: Recorded<'_>,
    nqn: Option<&Nqn>,
) -> Result<Vec<MapId>, ReleaseError> {
    let mut maps = read_maps(root)?;
    if let Some(nqn) = nqn {
        maps.retain(|map| {
            let mut of_map = recorded.known.iter().filter(|it| it.map() == Some(map.id));
            of_map.any(|record| record.source.nqn == *nqn)
        });
    }
    Ok(maps.into_iter().map(|map| map.id).collect())
}

/// Controllers of ours in which I/O may wait below a map. One of which the state, a path or the owner is unknown stays, and is told.
fn find_stuck<'a>(
    root: &Path,
    tree: &'a Tree,
    wanted: Option<&Nqn>,
    failure: &mut Option<ReleaseError>,
) -> Vec<(Instance, &'a Nqn)> {
    let is_wanted = |nqn: &&Nqn| wanted.is_none_or(|wanted| wanted == *nqn);
    let mut stuck = Vec::new();
    let waiting = tree.controllers();
    for controller in waiting.filter(|it| may_wait_in(tree, it, |_| true)) {
        let Some(nqn) = controller.subsysnqn.as_ref().filter(is_wanted) else {
            continue;
        };
        let doubt = controller.doubts().find(|it| it.matters());
        match (read_owner(root, controller.instance), doubt) {
            (Ok(Some(owner)), None) if owner.is_this_program() => {
                stuck.push((controller.instance, nqn));
            }
            (Ok(Some(owner)), Some(doubt)) if owner.is_this_program() => {
                let doubt = ScanError::from(doubt.clone());
                failure.get_or_insert(ReleaseError::Scan(doubt));
            }
            (Ok(_), _) => {}
            (Err(error), _) => {
                failure.get_or_insert(ReleaseError::Owner(error));
            }
        }
    }
    stuck
}

/// Those of the controllers with which nobody else would lose a disk: what lies below a map of ours, or is a volume of
/// the plugin, is let go with them. What has no map and a record that cannot be read counts as somebody else's.
fn find_deletable(
    root: &Path,
    recorded: Recorded<'_>,
    tree: &Tree,
    stuck: &[(Instance, &Nqn)],
) -> Result<Vec<Instance>, ReleaseError> {
    let maps = read_maps(root)?;
    for unknown in recorded.unknown {
        tracing::warn!(unknown, "cannot tell which disks are volumes");
    }
    let is_ours = |disk: &Namespace| {
        let is_below = |map: &Map| disk.dev.is_some_and(|dev| map.find_path(dev).is_some());
        let is_recorded = |it: &StageRecord| it.identity().is_some_and(|it| it.names(disk));
        maps.iter().any(is_below) || recorded.known.iter().any(is_recorded)
    };
    let stuck = stuck.iter().map(|(it, _)| *it).collect();
    Ok(without_needed(root, tree, stuck, is_ours))
}
