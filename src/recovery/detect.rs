//! What is wrong with a staged volume. Pure: records, devices, maps and mounts in, findings out.
//!
//! Invariant: only what was read says anything; a mount that is not the volume's is never called
//! stale.

#[cfg(test)]
mod tests;

use nvme_sysfs::{Controller, DevT, Instance, Nqn, Subsystem, Tree};

use crate::volume::record::StageRecord;
use crate::volume::view::{self, MapView, Stale, View};
use crate::volume::{Hold, Sight};

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
    /// Somebody else has mounted this device where the volume was.
    ForeignMount(DevT),
    /// Another namespace stands where the volume was.
    IdentityMismatch(String),
}

impl Finding {
    /// Whether it is about what an operation on the volume makes or takes away.
    #[must_use]
    pub fn is_about_mounts(&self) -> bool {
        matches!(
            self,
            Finding::Stale(_) | Finding::ForeignMount(_) | Finding::MapMissing | Finding::MapLetGo
        )
    }
}

/// Everything that is wrong with one volume.
#[must_use]
pub fn detect(record: &StageRecord, sight: &Sight, hostnqn: &Nqn) -> Vec<Finding> {
    let (Some(hold), Some(_)) = (record.hold.as_ref(), record.identity()) else {
        return Vec::new();
    };
    // A call that is still at it makes good what it lacks, unless it waits in its map.
    if hold.map().is_none() && record.staged().is_none() {
        return Vec::new();
    }
    let view = View::of(record, sight);
    let mut findings = Vec::new();
    findings.extend(find_paths(record, &view));
    findings.extend(find_missing(record, sight.tree(), hostnqn));
    findings.extend(find_blind(record, &view, sight.tree(), hostnqn));
    findings.extend(view.mismatch.clone().map(Finding::IdentityMismatch));
    match hold {
        Hold::Dm(_) => {
            findings.extend(find_map(&view));
            findings.extend(view.keeping.iter().copied().map(Finding::Untuned));
        }
        Hold::Native => findings.extend(find_unkept(record, &view)),
        Hold::None => {}
    }
    findings.extend(view::find_stale(record, sight).map(Finding::Stale));
    findings.extend(view::find_foreign_mount(record, sight).map(Finding::ForeignMount));
    findings
}

fn find_paths(record: &StageRecord, view: &View) -> Option<Finding> {
    let wanted = record.source.endpoints().len();
    match view.usable_paths {
        0 => Some(Finding::NoPath),
        usable if usable < wanted => Some(Finding::PathsDown { usable, wanted }),
        _ => None,
    }
}

fn find_missing(record: &StageRecord, tree: &Tree, hostnqn: &Nqn) -> Vec<Finding> {
    let controllers = view::controllers_of(record, tree, hostnqn);
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
fn find_blind(record: &StageRecord, view: &View, tree: &Tree, hostnqn: &Nqn) -> Vec<Finding> {
    let orphans: Vec<Instance> = tree.orphans().map(|orphan| orphan.instance).collect();
    let shows = |controller: &Controller| {
        let mut disks = view.disk.iter();
        disks.any(|disk| controller.carries(disk))
    };
    view::controllers_of(record, tree, hostnqn)
        .into_iter()
        .filter(|controller| controller.is_live() && !shows(controller))
        .map(|controller| match controller.instance {
            orphan if orphans.contains(&orphan) => Finding::Orphan(orphan),
            other => Finding::Unshown(other),
        })
        .collect()
}

fn find_map(view: &View) -> Option<Finding> {
    match view.map {
        MapView::None => Some(Finding::MapMissing),
        MapView::LetGo => Some(Finding::MapLetGo),
        MapView::LettingGo => Some(Finding::MapLettingGo),
        MapView::Unqueued => Some(Finding::MapUnqueued),
        MapView::Behind => Some(Finding::MapBehind),
        MapView::Failed => Some(Finding::MapFailed),
        MapView::Spinning => Some(Finding::MapSpinning),
        MapView::Exposed => Some(Finding::MapExposed),
        MapView::Right => None,
    }
}

fn find_unkept(record: &StageRecord, view: &View) -> Option<Finding> {
    let head = view.disk.as_ref()?;
    let wanted = view::native_time(record.source.path_loss_timeout);
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
