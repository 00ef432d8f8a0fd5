//! How a volume stands on this node: the one judge of its record, the devices, the maps and the mounts. Pure.
//!
//! Whoever has to know matches over a [`Standing`]: what kubelet and administrators hear, what the keeper does, whether
//! a volume is staged already, can be published, or can be asked how full it is. Invariants: only what was read says
//! anything; what others have mounted, or unmounted, is told and never taken for stale.

pub(super) mod carrier;
mod map;
mod mounted;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use nvme_sysfs::{Instance, Namespace};

use super::capability::AccessType;
use super::identity::{Disk, IdentityMismatch};
use super::mounts::shows;
use super::record::StageRecord;
use super::sight::Sight;
use crate::host::dm::Map;
pub use carrier::controllers_of;
use carrier::{
    Current, count_map_paths, count_usable_paths, find_current, find_keeping, find_usable,
};
pub use map::MapState;
use mounted::Judge;
pub(super) use mounted::is_missing;
pub use mounted::{MountState, Mounted, Published};

/// How a volume stands whose namespace is known.
#[derive(Debug)]
pub struct Standing<'a> {
    /// How many ways lead to the target now.
    pub usable_paths: usize,
    /// How many there should be.
    pub wanted_paths: usize,
    /// How its map stands.
    pub map_state: MapState,
    /// The controllers in which its I/O may wait though a map holds it.
    pub keeping: Vec<Instance>,
    /// Its staging path, once a filesystem is staged. A raw disk is mounted nowhere.
    pub staging: Option<Mounted<'a>>,
    /// Where pods have it, once it is staged.
    pub publications: Vec<Published<'a>>,
    /// What stands behind the name of its subsystem.
    current: Current<'a>,
    /// The map, if it is there.
    pub(super) map: Option<&'a Map>,
    /// The disk that mounts must show: that of its map, or of the namespace.
    pub(super) disk: Option<Disk>,
    record: &'a StageRecord,
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

impl<'a> Standing<'a> {
    /// How the volume of a record stands whose namespace is known.
    #[must_use]
    pub fn of(record: &'a StageRecord, sight: &'a Sight) -> Option<Standing<'a>> {
        let identity = record.identity()?;
        let (tree, nqn) = (sight.tree(), &record.source.nqn);
        let current = find_current(tree, nqn, identity);
        let map = record.map().and_then(|map| sight.find_map(map));
        let usable = find_usable(tree, nqn, identity, map);
        let (disk, usable_paths) = match (record.map(), map, current.found()) {
            (Some(_), Some(map), _) => (
                Some(Disk::of_map(map)),
                count_map_paths(map, tree, nqn, &usable),
            ),
            (None, _, Some(found)) => (Disk::of(found), count_usable_paths(tree, nqn, found)),
            (Some(_), None, _) | (None, _, None) => (None, 0),
        };
        let keeping = find_keeping(record, tree);
        let (staging, publications) = judge_mounts(record, sight, &disk);
        Some(Standing {
            usable_paths,
            wanted_paths: record.source.endpoints().len(),
            map_state: map.map_or(MapState::None, |map| {
                let below = (&usable[..], identity.size_bytes);
                MapState::of(map, tree, below, || !keeping.is_empty())
            }),
            keeping,
            staging,
            publications,
            current,
            map,
            disk,
            record,
        })
    }

    /// Whether I/O gets to the target now.
    pub(super) fn is_reached(&self) -> bool {
        self.usable_paths > 0
    }

    /// The disk of its namespace, proved to be it.
    #[must_use]
    pub fn namespace(&self) -> Option<&'a Namespace> {
        self.current.found()
    }

    /// In what the namespace behind the name is another one, if it is.
    #[must_use]
    pub fn mismatch(&self) -> Option<&IdentityMismatch> {
        match &self.current {
            Current::Other(mismatch) => Some(mismatch),
            Current::Found(_) | Current::Missing => None,
        }
    }

    /// The first mount of a staged volume that is stale, and that a repair makes anew.
    #[must_use]
    pub fn stale(&self) -> Option<Stale> {
        let staged = self.record.staged()?;
        let staging = match &self.staging {
            Some(staging) => match staging.state {
                MountState::NotMounted => Some(Stale::NotMounted),
                MountState::DeviceGone => Some(Stale::DeviceGone),
                MountState::OtherDevice | MountState::Unrecorded => Some(Stale::OtherDevice),
                MountState::Dead => Some(Stale::FilesystemDead),
                MountState::Right | MountState::Withdrawn | MountState::Foreign => None,
            },
            // What is published next must be the disk of now.
            None => self.is_another(&staged.disk).then_some(Stale::OtherDevice),
        };
        let is_stale = |published: &Published<'_>| match published.target.state {
            MountState::Withdrawn => true,
            MountState::OtherDevice | MountState::Dead => self.is_another(published.target.disk),
            _ => false,
        };
        let publication = || self.publications.iter().any(is_stale);
        staging.or_else(|| publication().then_some(Stale::Publication))
    }

    /// The places from which others have taken the volume: what they did there stays. A pod whose target is not mounted
    /// may have its volume all the same, and a mount over it would hide what it was unmounted for.
    pub fn taken(&self) -> impl Iterator<Item = (&Mounted<'a>, String)> {
        let is_foreign = |staging: &&Mounted<'_>| staging.state == MountState::Foreign;
        let staging = self.staging.iter().filter(is_foreign);
        let targets = self.publications.iter().map(|published| &published.target);
        let is_taken = |target: &&Mounted<'_>| match target.state {
            MountState::Foreign | MountState::NotMounted => true,
            // Without a disk it is lost like the volume.
            MountState::DeviceGone => self.disk.is_some(),
            _ => false,
        };
        let taken = staging.chain(targets.filter(is_taken));
        taken.filter_map(|place| self.describe(place))
    }

    /// What is wrong with the first place at which the volume is not mounted as it should be, for people.
    pub(super) fn find_wrong_mount(&self) -> Option<(&Mounted<'a>, String)> {
        let published = self.publications.iter();
        let published = published.flat_map(|it| [&it.target].into_iter().chain(&it.node));
        let mut places = self.staging.iter().chain(published);
        places.find_map(|place| self.describe(place))
    }

    fn describe<'s>(&self, place: &'s Mounted<'a>) -> Option<(&'s Mounted<'a>, String)> {
        let what = place.describe(self.disk.as_ref())?;
        Some((place, format!("{} {what}", place.path.display())))
    }

    /// Whether the disk that the volume was staged from carries it no more, and what is at its staging path, where
    /// anything has to be, was mounted from that disk.
    pub(super) fn has_lost_disk(&self) -> bool {
        let Some(staged) = self.record.staged() else {
            return false;
        };
        let is_own = |mount| shows(mount, &staged.disk);
        let mut staging = self.staging.iter();
        staging.all(|staging| staging.mount.is_some_and(is_own))
            && self.disk.as_ref() != Some(&staged.disk)
    }

    /// A controller of others in which I/O of the volume waits though its map was let go.
    #[must_use]
    pub fn find_keeper_of_io(&self) -> Option<Instance> {
        let map = self.map.filter(|map| map.was_let_go() && map.io.is_some());
        map.and_then(|_| self.keeping.first().copied())
    }

    fn is_another(&self, disk: &Disk) -> bool {
        self.disk.as_ref().is_some_and(|current| current != disk)
    }
}

fn judge_mounts<'a>(
    record: &'a StageRecord,
    sight: &'a Sight,
    current: &Option<Disk>,
) -> (Option<Mounted<'a>>, Vec<Published<'a>>) {
    let Some(staged) = record.staged() else {
        return (None, Vec::new());
    };
    let judge = Judge::of(record, sight, current);
    let staging = match record.capability.access {
        AccessType::Filesystem { .. } => {
            let path = Cow::Borrowed(record.staging_target_path.as_path());
            Some(judge.place(path, &staged.disk))
        }
        AccessType::Block => None,
    };
    let publications = record.publications.iter();
    (
        staging,
        publications.map(|it| judge.publication(it)).collect(),
    )
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
