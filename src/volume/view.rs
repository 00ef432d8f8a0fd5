//! A volume as it stands on this node now, for whoever has to bring it back. Pure.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nvme_sysfs::{Controller, DevT, Instance, Namespace, Nqn, Tree};

use super::capability::AccessType;
use super::current::{
    Current, carried_bytes, count_map_paths, count_usable_paths, find_current, find_usable,
};
use super::hold::find_keeping;
use super::identity::Disk;
use super::mounts::{find_shown, is_dead, shows, shows_nvme};
use super::record::{Publication, StageRecord, Staged};
use super::sight::Sight;
use crate::host::dm::{Map, MapPath, PathState};
use crate::host::mountinfo::Mount;

/// What was found of a volume.
#[derive(Debug)]
pub struct View {
    /// How many ways lead to the target now.
    pub usable_paths: usize,
    /// The disk of the namespace, proved to be it.
    pub disk: Option<Namespace>,
    /// How its map stands.
    pub map: MapView,
    /// The controllers in which its I/O may wait though a map holds it.
    pub keeping: Vec<Instance>,
    /// In what the namespace behind the name is another one, if it is.
    pub mismatch: Option<String>,
}

/// How a map stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapView {
    /// There is none.
    None,
    /// It lets I/O fail.
    LetGo,
    /// Somebody began to let it go, and its I/O does not fail yet.
    LettingGo,
    /// It would let I/O fail, and nobody let it go.
    Unqueued,
    /// It keeps I/O from disks that could take it, or was left half changed.
    Behind,
    /// I/O has failed on each of its disks, and all of them are well.
    Failed,
    /// It waits for a path, and keeps a processor busy with that.
    Spinning,
    /// It would send I/O to a disk that is not reached, where a controller keeps it.
    Exposed,
    /// There is nothing to do about it.
    Right,
}

/// In what a mount is stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stale {
    /// Nothing is mounted at the staging path.
    NotMounted,
    /// The mounted device is gone.
    DeviceGone,
    /// The mounted device is not the one that carries the volume now.
    OtherDevice,
    /// The filesystem has shut itself down, or writes no more.
    FilesystemDead,
    /// A publication shows another device than the volume's.
    Publication,
}

impl Stale {
    /// The word for metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Stale::NotMounted => "not_mounted",
            Stale::DeviceGone => "device_gone",
            Stale::OtherDevice => "other_device",
            Stale::FilesystemDead => "filesystem_dead",
            Stale::Publication => "publication",
        }
    }

    /// What was found, for people.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Stale::NotMounted => "the volume is staged and not mounted",
            Stale::DeviceGone => "the mounted device is gone",
            Stale::OtherDevice => "the volume came back as another device than the mounted one",
            Stale::FilesystemDead => "the mounted filesystem has shut itself down",
            Stale::Publication => "a pod's mount does not lead to the volume",
        }
    }
}

impl View {
    /// What is found of the volume of a record whose namespace is known.
    #[must_use]
    pub fn of(record: &StageRecord, sight: &Sight) -> View {
        let nothing = View {
            usable_paths: 0,
            disk: None,
            map: MapView::None,
            keeping: Vec::new(),
            mismatch: None,
        };
        let Some(identity) = record.identity() else {
            return nothing;
        };
        let (tree, nqn) = (sight.tree(), &record.source.nqn);
        let map = record.map().and_then(|map| sight.find_map(map));
        let (disk, mismatch) = match find_current(tree, nqn, identity) {
            Current::Found(disk) => (Some(disk), None),
            Current::Other(disk) => (None, identity.check(disk).err()),
            Current::Missing => (None, None),
        };
        let usable_paths = match (record.map(), map, disk) {
            (Some(_), Some(map), _) => count_map_paths(map, tree, nqn, identity),
            (None, _, Some(disk)) => count_usable_paths(tree, nqn, disk),
            (Some(_), None, _) | (None, _, None) => 0,
        };
        let usable = find_usable(tree, nqn, identity, map);
        let keeping = find_keeping(record, tree);
        View {
            usable_paths,
            disk: disk.cloned(),
            map: map.map_or(MapView::None, |map| {
                let keeps = !keeping.is_empty();
                judge_map(map, tree, &usable, identity.size_bytes, keeps)
            }),
            keeping,
            mismatch: mismatch.map(|mismatch| mismatch.to_string()),
        }
    }
}

/// `keeps`: whether a controller would keep what is sent to a disk that is not reached.
fn judge_map(
    map: &Map,
    tree: &Tree,
    usable: &[&Namespace],
    size_bytes: u64,
    keeps: bool,
) -> MapView {
    if map.was_let_go() {
        return MapView::LetGo;
    }
    if map.is_let_go {
        return MapView::LettingGo;
    }
    if map.has_lost_its_queue() {
        return MapView::Unqueued;
    }
    let path_of = |disk: &&Namespace| disk.dev.and_then(|dev| map.find_path(dev));
    let same = usable.iter().filter_map(path_of).count() == usable.len()
        && map.paths.len() == usable.len()
        && map.size_bytes / 512 == carried_bytes(usable, size_bytes) / 512;
    let failed = |path: &MapPath| path.state == Some(PathState::Failed);
    // One that hands errors up would hold nothing: it was left so by a call that was cut off.
    let is_left_halfway = map.has_inactive_table || map.passes_errors() && !map.suspended;
    match (usable.is_empty(), map.suspended) {
        _ if is_left_halfway => MapView::Behind,
        (false, true) => MapView::Behind,
        (false, false) if !same => MapView::Behind,
        (false, false) if map.paths.iter().all(failed) => MapView::Failed,
        (false, false) if map.paths.iter().any(failed) => MapView::Behind,
        (true, false) if has_lost_all(map, tree) => MapView::Spinning,
        (true, false) if keeps && (map.io.is_none() || map.usable_paths().next().is_some()) => {
            MapView::Exposed
        }
        _ => MapView::Right,
    }
}

/// Whether every disk of a map is gone, so that no I/O waits below it.
fn has_lost_all(map: &Map, tree: &Tree) -> bool {
    let is_gone = |path: &MapPath| tree.find_namespace_by_dev(path.dev).is_none();
    !map.paths.is_empty() && map.paths.iter().all(is_gone)
}

/// The controllers that the volume wants, as far as they are there and not going.
#[must_use]
pub fn controllers_of<'a>(
    record: &StageRecord,
    tree: &'a Tree,
    hostnqn: &Nqn,
) -> Vec<&'a Controller> {
    use nvme_sysfs::ControllerState::{Dead, Deleting, DeletingNoIo};
    tree.controllers()
        .filter(|controller| record.source.asks_for(controller, hostnqn))
        .filter(|controller| !matches!(controller.state, Deleting | DeletingNoIo | Dead))
        .collect()
}

/// How long a head must outlive its last path.
#[must_use]
pub fn native_time(path_loss_timeout: Option<Duration>) -> Duration {
    super::hold::native_time(path_loss_timeout)
}

/// The first mount of a staged volume that is stale.
#[must_use]
pub fn find_stale(record: &StageRecord, sight: &Sight) -> Option<Stale> {
    let staged = record.staged()?;
    let disk = current_disk(record, staged, sight);
    let staging = match record.capability.access {
        AccessType::Filesystem { .. } => find_stale_staging(record, staged, disk.as_ref(), sight),
        // It is mounted nowhere, and what is published next must be the disk of now.
        AccessType::Block => {
            let other = disk.as_ref().is_some_and(|disk| *disk != staged.disk);
            other.then_some(Stale::OtherDevice)
        }
    };
    staging.or_else(|| {
        let stale = record.publications.iter().any(|publication| {
            match sight.mounts.find_mount_at(&publication.target_path) {
                Some(mount) => is_stale(mount, &publication.disk, disk.as_ref()),
                None => publication.withdrawn,
            }
        });
        stale.then_some(Stale::Publication)
    })
}

/// Where the volume is mounted as this program sees it: its own places, and all others that show a disk of it.
#[must_use]
pub fn mounted_at(record: &StageRecord, sight: &Sight) -> Vec<PathBuf> {
    let staged = record.staged().map(|staged| &staged.disk);
    let published = record.publications.iter().map(|it| &it.disk);
    let disks: Vec<&Disk> = staged.into_iter().chain(published).collect();
    let is_place =
        |path: &Path| record.staging_target_path == path || record.find_publication(path).is_some();
    let mounts = sight.mounts.iter();
    let of_volume = mounts.filter(|mount| {
        is_place(&mount.mount_point) || disks.iter().any(|disk| shows(mount, disk))
    });
    of_volume.map(|mount| mount.mount_point.clone()).collect()
}

/// Whether the disk that a volume was staged from carries it no more, and what is at its staging path,
/// where anything has to be, was mounted from that disk.
pub(super) fn has_lost_disk(record: &StageRecord, sight: &Sight) -> bool {
    let Some(staged) = record.staged() else {
        return false;
    };
    let is_own = match record.capability.access {
        AccessType::Filesystem { .. } => {
            let mount = sight.mounts.find_mount_at(&record.staging_target_path);
            mount.is_some_and(|mount| shows(mount, &staged.disk))
        }
        AccessType::Block => true,
    };
    is_own && current_disk(record, staged, sight).as_ref() != Some(&staged.disk)
}

/// The disk that mounts must show: of the map, or of the namespace.
pub(super) fn current_disk(record: &StageRecord, staged: &Staged, sight: &Sight) -> Option<Disk> {
    match record.map() {
        Some(map) => sight.find_map(map).map(Disk::of_map),
        None => {
            let nqn = &record.source.nqn;
            let found = find_current(sight.tree(), nqn, &staged.identity).found();
            found.and_then(Disk::of)
        }
    }
}

/// The device of what somebody else has mounted at the staging path of a volume.
#[must_use]
pub fn find_foreign_mount(record: &StageRecord, sight: &Sight) -> Option<DevT> {
    let staged = record.staged()?;
    let mount = match record.capability.access {
        AccessType::Filesystem { .. } => sight.mounts.find_mount_at(&record.staging_target_path),
        AccessType::Block => None,
    }?;
    let is_dead = shows_nvme(mount) && find_shown(mount, sight.tree()).is_none();
    let current = current_disk(record, staged, sight);
    let is_own = |disk: &Disk| shows(mount, disk);
    let is_own = is_own(&staged.disk) || current.as_ref().is_some_and(is_own);
    (!is_own && !is_dead).then_some(mount.dev)
}

fn find_stale_staging(
    record: &StageRecord,
    staged: &Staged,
    disk: Option<&Disk>,
    sight: &Sight,
) -> Option<Stale> {
    let Some(mount) = sight.mounts.find_mount_at(&record.staging_target_path) else {
        return Some(Stale::NotMounted);
    };
    if disk.is_some_and(|disk| *disk != staged.disk && shows(mount, disk)) {
        // Of a repair that was killed before it recorded what it had mounted.
        return Some(Stale::OtherDevice);
    }
    if !shows(mount, &staged.disk) {
        // Somebody else's, unless it is an NVMe disk that is gone.
        let dead = shows_nvme(mount) && find_shown(mount, sight.tree()).is_none();
        return dead.then_some(Stale::DeviceGone);
    }
    if is_dead(mount, record.capability.mount_access()) {
        return Some(Stale::FilesystemDead);
    }
    match (record.map(), disk) {
        (None, None) if find_shown(mount, sight.tree()).is_none() => Some(Stale::DeviceGone),
        (_, Some(disk)) if *disk != staged.disk => Some(Stale::OtherDevice),
        _ => None,
    }
}

/// Whether a repair that did not come to its end has taken the mount of a publication away.
pub(super) fn is_missing(publication: &Publication, sight: &Sight) -> bool {
    let target = &publication.target_path;
    publication.withdrawn && sight.mounts.find_mount_at(target).is_none()
}

/// Whether a publication shows a disk of the volume that carries it no more.
fn is_stale(mount: &Mount, published: &Disk, disk: Option<&Disk>) -> bool {
    shows_or_showed(mount, published) && disk.is_some_and(|disk| disk != published)
}

/// Whether a mount shows this disk, or its node after the disk has gone.
fn shows_or_showed(mount: &Mount, disk: &Disk) -> bool {
    let root = mount.root.to_string_lossy();
    shows(mount, disk) || root == format!("/{}//deleted", disk.name)
}
