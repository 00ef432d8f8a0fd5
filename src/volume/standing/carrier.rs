//! Which disk carries a volume now, and how it is reached. Pure: answers come from one snapshot.

use std::time::Duration;

use nvme_sysfs::{
    Controller, ControllerLoss, ControllerState, Instance, Namespace, NamespaceKind, Nqn,
    Subsystem, Tree,
};

use crate::host::dm::{Map, PathState};
use crate::volume::identity::{IdentityMismatch, VolumeIdentity};
use crate::volume::record::StageRecord;

/// How many ways lead from a map to the target now, by those of the disks that may stand below it.
pub(in crate::volume) fn count_map_paths(
    map: &Map,
    tree: &Tree,
    nqn: &Nqn,
    usable: &[&Namespace],
) -> usize {
    if map.suspended || map.was_let_go() {
        return 0;
    }
    let in_use = usable.iter().filter(|disk| {
        let path = disk.dev.and_then(|dev| map.find_path(dev));
        path.is_some_and(|path| path.state != Some(PathState::Failed))
    });
    let paths = |disk: &&Namespace| match disk.kind {
        NamespaceKind::Head => count_usable_paths(tree, nqn, disk),
        NamespaceKind::Disk(_) => 1,
    };
    in_use.map(paths).sum()
}

/// The disks that may stand below the map of a volume: each proved to be its namespace, with a number
/// and a way to the target. One head, or one disk for each controller.
///
/// One that has become smaller is another volume, unless it lies below the map and was not lost since it was proved. The map
/// becomes as short: a request behind its end fails alone, as on a bare disk. A longer map would hold all I/O of the volume for it, and its table takes no second target (`DM_TARGET_SINGLETON`
/// of drivers/md/dm-mpath.c).
pub(in crate::volume) fn find_usable<'a>(
    tree: &'a Tree,
    nqn: &Nqn,
    identity: &VolumeIdentity,
    map: Option<&Map>,
) -> Vec<&'a Namespace> {
    if !identity.is_unique() {
        return Vec::new();
    }
    let usable = disks(tree, nqn).filter(|(subsystem, disk)| {
        let is_it = identity.check(disk).is_ok() || has_shrunk_below(map, tree, disk, identity);
        disk.dev.is_some() && disk.is_set_up() && is_it && subsystem.is_reachable(disk)
    });
    usable.map(|(_, disk)| disk).collect()
}

/// Whether a disk is the one below a map that works, and has become smaller meanwhile. One that outlives its last
/// controller, or a controller that outlives a loss, may show another namespace by now.
fn has_shrunk_below(
    map: Option<&Map>,
    tree: &Tree,
    disk: &Namespace,
    identity: &VolumeIdentity,
) -> bool {
    let at_once = ControllerLoss::After(Duration::ZERO);
    let goes = |controller: &Controller| controller.ctrl_loss_tmo.is_none_or(|it| it == at_once);
    let is_below = |map: &&Map| disk.dev.is_some_and(|dev| map.find_path(dev).is_some());
    identity.has_shrunk(disk)
        && map.filter(is_below).is_some_and(|map| !map.suspended)
        && disk.delayed_removal.is_none_or(|time| time.is_zero())
        && tree.carriers_of(disk).all(goes)
}

/// How much of a volume these disks carry, from its beginning.
pub(in crate::volume) fn carried_bytes(disks: &[&Namespace], size_bytes: u64) -> u64 {
    let sizes = disks.iter().map(|disk| disk.size_bytes);
    sizes.fold(size_bytes, u64::min)
}

/// What stands behind the name of a subsystem where a volume is expected.
#[derive(Debug)]
pub(in crate::volume) enum Current<'a> {
    /// The volume.
    Found(&'a Namespace),
    /// Its identifiers, but not the namespace that was staged, or its number with other identifiers.
    Other(IdentityMismatch),
    /// Nothing.
    Missing,
}

impl<'a> Current<'a> {
    /// The volume's disk, if it is there.
    pub(in crate::volume) fn found(&self) -> Option<&'a Namespace> {
        match self {
            Current::Found(disk) => Some(disk),
            Current::Other(_) | Current::Missing => None,
        }
    }
}

/// The disk of the volume; where several show it (`nvme_core.multipath=N`) one that is reached. One that is not set up is on
/// its way in or out, and tells nothing yet.
pub(in crate::volume) fn find_current<'a>(
    tree: &'a Tree,
    nqn: &Nqn,
    identity: &VolumeIdentity,
) -> Current<'a> {
    let disks = || disks(tree, nqn).filter(|(_, disk)| disk.is_set_up());
    let named = || disks().filter(|(_, disk)| identity.names(disk));
    let reached = named().find(|(subsystem, disk)| subsystem.is_reachable(disk));
    if let Some((_, disk)) = reached.or_else(|| named().next()) {
        return match identity.check(disk) {
            Ok(()) => Current::Found(disk),
            Err(mismatch) => Current::Other(mismatch),
        };
    }
    let same_number = |disk: &Namespace| disk.identity.nsid == identity.nsid;
    let other = disks().find(|(_, disk)| same_number(disk));
    let mismatch = other.and_then(|(_, disk)| identity.check(disk).err());
    mismatch.map_or(Current::Missing, Current::Other)
}

/// Whether I/O of the disk can reach the target now.
pub(in crate::volume) fn is_reached(tree: &Tree, nqn: &Nqn, disk: &Namespace) -> bool {
    disks(tree, nqn).any(|(subsystem, other)| other == disk && subsystem.is_reachable(disk))
}

/// How many paths of the disk are usable now.
pub(in crate::volume) fn count_usable_paths(tree: &Tree, nqn: &Nqn, disk: &Namespace) -> usize {
    match disk.kind {
        NamespaceKind::Head => tree
            .paths_of(disk)
            .filter(|(controller, path)| controller.is_live() && path.is_accessible())
            .count(),
        NamespaceKind::Disk(_) => disks(tree, nqn)
            .filter(|(_, other)| other.identity == disk.identity)
            .filter(|(subsystem, other)| subsystem.is_reachable(other))
            .count(),
    }
}

/// The live controllers of a subsystem.
pub(in crate::volume) fn live_controllers(tree: &Tree, nqn: &Nqn) -> Vec<Instance> {
    let controllers = tree.find_subsystems(nqn).flat_map(|s| &s.controllers);
    let live = controllers.filter(|controller| controller.is_live());
    live.map(|controller| controller.instance).collect()
}

/// The controllers that a volume wants, as far as they are there and not going.
#[must_use]
pub fn controllers_of<'a>(
    record: &StageRecord,
    tree: &'a Tree,
    hostnqn: &Nqn,
) -> Vec<&'a Controller> {
    tree.controllers()
        .filter(|controller| record.source.asks_for(controller, hostnqn))
        .filter(|controller| !is_going(controller))
        .collect()
}

/// The controllers in which I/O of a volume may wait though a map holds it: they carry its disk and would outlive a loss.
pub(in crate::volume) fn find_keeping(record: &StageRecord, tree: &Tree) -> Vec<Instance> {
    let Some(identity) = record.identity().filter(|_| record.map().is_some()) else {
        return Vec::new();
    };
    let outliving = find_outliving(tree, &record.source.nqn, identity);
    outliving.iter().map(|it| it.instance).collect()
}

/// The controllers that carry the disk of a volume and would outlive a loss.
pub(in crate::volume) fn find_outliving<'a>(
    tree: &'a Tree,
    nqn: &Nqn,
    identity: &VolumeIdentity,
) -> Vec<&'a Controller> {
    let disks = tree.find_subsystems(nqn).flat_map(|s| &s.namespaces);
    let ours: Vec<&Namespace> = disks.filter(|disk| identity.names(disk)).collect();
    let at_once = ControllerLoss::After(Duration::ZERO);
    tree.find_subsystems(nqn)
        .flat_map(|subsystem| &subsystem.controllers)
        .filter(|controller| controller.ctrl_loss_tmo.is_some_and(|loss| loss != at_once))
        .filter(|controller| !is_going(controller))
        .filter(|controller| ours.iter().any(|disk| controller.carries(disk)))
        .collect()
}

fn is_going(controller: &Controller) -> bool {
    use ControllerState::{Dead, Deleting, DeletingNoIo};
    matches!(controller.state, Deleting | DeletingNoIo | Dead)
}

fn disks<'a>(tree: &'a Tree, nqn: &Nqn) -> impl Iterator<Item = (&'a Subsystem, &'a Namespace)> {
    let with_disks = |subsystem: &'a Subsystem| {
        let disks = subsystem.namespaces.iter();
        disks.map(move |disk| (subsystem, disk))
    };
    tree.find_subsystems(nqn).flat_map(with_disks)
}
