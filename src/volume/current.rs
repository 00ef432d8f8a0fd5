//! Which disk carries a volume now, and how it is reached. Pure: answers come from one snapshot.

use nvme_sysfs::{Instance, Namespace, NamespaceKind, Nqn, Subsystem, Tree};

use super::identity::VolumeIdentity;

/// What stands behind the name of a subsystem where a volume is expected.
#[derive(Debug)]
pub(super) enum Current<'a> {
    /// The volume.
    Found(&'a Namespace),
    /// Its identifiers, but not the namespace that was staged, or its number with other identifiers.
    Other(&'a Namespace),
    /// Nothing.
    Missing,
}

impl<'a> Current<'a> {
    /// The volume's disk, if it is there.
    pub(super) fn found(self) -> Option<&'a Namespace> {
        match self {
            Current::Found(disk) => Some(disk),
            Current::Other(_) | Current::Missing => None,
        }
    }
}

/// The disk of the volume; where several show it (`nvme_core.multipath=N`) one that is reached.
pub(super) fn find_current<'a>(
    tree: &'a Tree,
    nqn: &Nqn,
    identity: &VolumeIdentity,
) -> Current<'a> {
    let disks = || disks(tree, nqn);
    let named = || disks().filter(|(_, disk)| identity.names(disk));
    let reached = named().find(|(subsystem, disk)| subsystem.is_reachable(disk));
    if let Some((_, disk)) = reached.or_else(|| named().next()) {
        return match identity.check(disk) {
            Ok(()) => Current::Found(disk),
            Err(_) => Current::Other(disk),
        };
    }
    let same_number = |disk: &Namespace| disk.identity.nsid == identity.nsid;
    let other = disks().find(|(_, disk)| same_number(disk));
    other.map_or(Current::Missing, |(_, disk)| Current::Other(disk))
}

/// Whether I/O of the disk can reach the target now.
pub(super) fn is_reached(tree: &Tree, nqn: &Nqn, disk: &Namespace) -> bool {
    disks(tree, nqn).any(|(subsystem, other)| other == disk && subsystem.is_reachable(disk))
}

/// How many paths of the disk are usable now.
pub(super) fn count_usable_paths(tree: &Tree, nqn: &Nqn, disk: &Namespace) -> usize {
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
pub(super) fn live_controllers(tree: &Tree, nqn: &Nqn) -> Vec<Instance> {
    let controllers = tree.find_subsystems(nqn).flat_map(|s| &s.controllers);
    let live = controllers.filter(|controller| controller.is_live());
    live.map(|controller| controller.instance).collect()
}

fn disks<'a>(tree: &'a Tree, nqn: &Nqn) -> impl Iterator<Item = (&'a Subsystem, &'a Namespace)> {
    let with_disks = |subsystem: &'a Subsystem| {
        let disks = subsystem.namespaces.iter();
        disks.map(move |disk| (subsystem, disk))
    };
    tree.find_subsystems(nqn).flat_map(with_disks)
}
