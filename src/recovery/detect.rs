//! What is wrong with a staged volume. Pure: records, devices, maps and mounts in, findings out.
//!
//! Invariant: only what was read says anything; a mount that is not the volume's is never called
//! stale.

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use nvme_sysfs::{Controller, Instance, Namespace, Nqn, Subsystem, Tree};

use crate::volume::record::StageRecord;
use crate::volume::standing::{MapState, Stale, Standing, controllers_of};
use crate::volume::{Hold, Sight, hold};

/// Something about a volume that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// No path is usable: I/O waits, or fails.
    NoPath,
    /// Some paths are not usable.
    PathsDown {
        /// How many are.
        usable: usize,
        /// How many there should be.
        wanted: usize,
    },
    /// There is no controller of this endpoint, by its place in the source.
    PathMissing(usize),
    /// The map does not lie over the disks that carry the volume now, or keeps I/O from them.
    MapBehind,
    /// I/O has failed on every disk of the map, and all of them are well.
    MapFailed,
    /// The map waits for a path, and is not suspended.
    MapSpinning,
    /// The map would send I/O to a disk that is not reached, where a controller keeps it.
    MapExposed,
    /// There is no map.
    MapMissing,
    /// The map was let go.
    MapLetGo,
    /// Letting the map go was cut off before its I/O failed.
    MapLettingGo,
    /// The map would let I/O fail, and nobody let it go.
    MapUnqueued,
    /// A controller carries the disk and outlives a loss, though a map holds the I/O.
    Untuned(Instance),
    /// A head would go with its last path, though it shall hold the I/O.
    Unkept(String),
    /// A live controller shows no namespace.
    Orphan(Instance),
    /// A live controller shows other namespaces, and not the volume's.
    Unshown(Instance),
    /// A mount of the volume leads nowhere, or elsewhere.
    Stale(Stale),
    /// Somebody else has mounted something where the volume was, or unmounted it there.
    Taken {
        /// Where.
        path: PathBuf,
        /// What is there, for people.
        what: String,
    },
    /// Another namespace stands where the volume was.
    IdentityMismatch(String),
}

impl Finding {
    /// Whether it is about what an operation on the volume makes or takes away.
    #[must_use]
    pub fn is_about_mounts(&self) -> bool {
        matches!(
            self,
            Finding::Stale(_) | Finding::Taken { .. } | Finding::MapMissing | Finding::MapLetGo
        )
    }
}

/// Everything that is wrong with one volume.
#[must_use]
pub fn detect(record: &StageRecord, sight: &Sight, hostnqn: &Nqn) -> Vec<Finding> {
    let (Some(hold), Some(standing)) = (record.hold.as_ref(), Standing::of(record, sight)) else {
        return Vec::new();
    };
    // A call that is still at it makes good what it lacks, unless it waits in its map.
    if hold.map().is_none() && record.staged().is_none() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    findings.extend(find_paths(&standing));
    findings.extend(find_missing(record, sight.tree(), hostnqn));
    findings.extend(find_blind(record, sight.tree(), hostnqn));
    let mismatch = standing.mismatch().map(ToString::to_string);
    findings.extend(mismatch.map(Finding::IdentityMismatch));
    match hold {
        Hold::Dm(_) => {
            findings.extend(find_map(&standing));
            findings.extend(standing.keeping.iter().copied().map(Finding::Untuned));
        }
        Hold::Native => findings.extend(find_unkept(record, &standing)),
        Hold::None => {}
    }
    findings.extend(standing.stale().map(Finding::Stale));
    findings.extend(standing.taken().map(|(place, what)| Finding::Taken {
        path: place.path.to_path_buf(),
        what,
    }));
    findings
}

fn find_paths(standing: &Standing<'_>) -> Option<Finding> {
    let wanted = standing.wanted_paths;
    match standing.usable_paths {
        0 => Some(Finding::NoPath),
        usable if usable < wanted => Some(Finding::PathsDown { usable, wanted }),
        _ => None,
    }
}

fn find_missing(record: &StageRecord, tree: &Tree, hostnqn: &Nqn) -> Vec<Finding> {
    let controllers = controllers_of(record, tree, hostnqn);
    let endpoints = record.source.endpoints();
    let is_missing = |(_, endpoint): &(usize, nvme_sysfs::TransportAddress)| {
        !controllers
            .iter()
            .any(|controller| controller.address.same_endpoint(endpoint))
    };
    let missing = endpoints.into_iter().enumerate().filter(is_missing);
    missing
        .map(|(place, _)| Finding::PathMissing(place))
        .collect()
}

/// The live controllers of the volume through which it is not reached. The kernel may miss a namespace that a target has
/// taken away and brought back: a controller that looks while another one's head still stands in its place is refused
/// ("IDs don't match for shared namespace", seen on Linux 7.2), and does not look again by itself.
fn find_blind(record: &StageRecord, tree: &Tree, hostnqn: &Nqn) -> Vec<Finding> {
    let Some(identity) = record.identity() else {
        return Vec::new();
    };
    let orphans: Vec<Instance> = tree.orphans().map(|orphan| orphan.instance).collect();
    // Also one that is not as it was, and, without multipath, one of several.
    let nqn = &record.source.nqn;
    let disks = tree.find_subsystems(nqn).flat_map(|it| &it.namespaces);
    let own: Vec<&Namespace> = disks.filter(|disk| identity.names(disk)).collect();
    let shows = |controller: &Controller| own.iter().any(|disk| controller.carries(disk));
    controllers_of(record, tree, hostnqn)
        .into_iter()
        .filter(|controller| controller.is_live() && !shows(controller))
        .map(|controller| match controller.instance {
            orphan if orphans.contains(&orphan) => Finding::Orphan(orphan),
            other => Finding::Unshown(other),
        })
        .collect()
}

fn find_map(standing: &Standing<'_>) -> Option<Finding> {
    match standing.map_state {
        MapState::None => Some(Finding::MapMissing),
        MapState::LetGo => Some(Finding::MapLetGo),
        MapState::LettingGo => Some(Finding::MapLettingGo),
        MapState::Unqueued => Some(Finding::MapUnqueued),
        MapState::Behind => Some(Finding::MapBehind),
        MapState::Failed => Some(Finding::MapFailed),
        MapState::Spinning => Some(Finding::MapSpinning),
        MapState::Exposed => Some(Finding::MapExposed),
        MapState::Right => None,
    }
}

fn find_unkept(record: &StageRecord, standing: &Standing<'_>) -> Option<Finding> {
    let head = standing.namespace()?;
    let wanted = hold::native_time(record.source.path_loss_timeout);
    let kept = head.delayed_removal.is_some_and(|time| time == wanted);
    (!kept).then(|| Finding::Unkept(head.name.clone()))
}

/// The controllers of this program that no record wants: by their number and subsystem.
#[must_use]
pub fn find_unwanted(
    records: &[StageRecord],
    tree: &Tree,
    is_ours: impl Fn(&Controller) -> bool,
) -> Vec<(Instance, Nqn)> {
    let unwanted = |subsystem: &&Subsystem| {
        let nqn = subsystem.nqn.as_ref();
        nqn.is_some_and(|nqn| !records.iter().any(|record| record.wants(nqn)))
    };
    let of_subsystem = |subsystem: &Subsystem| {
        let nqn = subsystem.nqn.clone();
        let controllers = subsystem.controllers.iter().filter(|it| is_ours(it));
        let pairs: Vec<(Instance, Nqn)> = controllers
            .filter_map(|controller| Some((controller.instance, nqn.clone()?)))
            .collect();
        pairs
    };
    tree.subsystems
        .iter()
        .filter(unwanted)
        .flat_map(of_subsystem)
        .collect()
}
