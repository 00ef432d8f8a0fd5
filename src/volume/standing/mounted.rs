//! How the places stand at which a volume has to be mounted.
//!
//! Invariant: a mount that is not the volume's is foreign and never stale.

use std::borrow::Cow;
use std::path::Path;

use nvme_sysfs::Tree;

use crate::host::MountAccess;
use crate::host::mountinfo::{Mount, MountTable};
use crate::volume::identity::Disk;
use crate::volume::mounts::{describe, find_shown, is_dead, shows, shows_nvme};
use crate::volume::place::kubelet_node;
use crate::volume::record::{Publication, StageRecord};
use crate::volume::sight::Sight;

/// A place at which a volume has to be mounted.
#[derive(Debug)]
pub struct Mounted<'a> {
    /// The place.
    pub path: Cow<'a, Path>,
    /// How it stands.
    pub state: MountState,
    /// The topmost mount there.
    pub(in crate::volume) mount: Option<&'a Mount>,
    /// The disk as which the volume appeared when it was mounted there.
    pub(super) disk: &'a Disk,
}

/// A publication.
#[derive(Debug)]
pub struct Published<'a> {
    /// Where it was made.
    pub target: Mounted<'a>,
    /// Where kubelet has bound the node of a raw disk when the pod started: what is bound anew for a pod does not reach it.
    pub(super) node: Option<Mounted<'a>>,
}

/// How a place stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountState {
    /// It leads to the volume.
    Right,
    /// Nothing is mounted there.
    NotMounted,
    /// A repair that did not come to its end has taken its mount away.
    Withdrawn,
    /// What it shows is gone.
    DeviceGone,
    /// It shows what the volume was when it was mounted, and the volume is another disk now.
    OtherDevice,
    /// It shows the disk that the volume is now: a repair mounted that, and could not write it down.
    Unrecorded,
    /// Its filesystem has shut itself down, or writes no more.
    Dead,
    /// It shows something else, which somebody else has mounted.
    Foreign,
}

/// What the mounts of one volume are judged by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judge<'a, 'b> {
    tree: &'a Tree,
    mounts: &'a MountTable,
    access: MountAccess,
    /// The disk that the volume is now.
    current: Option<&'b Disk>,
    /// Whether it is mounted from a map, which outlives the namespace.
    by_map: bool,
}

impl<'a, 'b> Judge<'a, 'b> {
    pub(super) fn of(record: &StageRecord, sight: &'a Sight, current: &'b Option<Disk>) -> Self {
        Judge {
            tree: sight.tree(),
            mounts: &sight.mounts,
            access: record.capability.mount_access(),
            current: current.as_ref(),
            by_map: record.map().is_some(),
        }
    }

    pub(super) fn publication(&self, publication: &'a Publication) -> Published<'a> {
        let mut target = self.place(Cow::Borrowed(&publication.target_path), &publication.disk);
        if is_missing(publication, self.mounts) {
            target.state = MountState::Withdrawn;
        }
        let node = kubelet_node(&publication.target_path);
        let node = node.map(|path| self.place(Cow::Owned(path), &publication.disk));
        Published {
            target,
            node: node.filter(|node| node.mount.is_some()),
        }
    }

    pub(super) fn place(&self, path: Cow<'a, Path>, disk: &'a Disk) -> Mounted<'a> {
        let mount = self.mounts.find_mount_at(&path);
        Mounted {
            state: self.judge(mount, disk),
            path,
            mount,
            disk,
        }
    }

    fn judge(&self, mount: Option<&Mount>, disk: &Disk) -> MountState {
        let Some(mount) = mount else {
            return MountState::NotMounted;
        };
        let other = self.current.filter(|current| *current != disk);
        let shows_other = other.is_some_and(|other| shows(mount, other));
        let shows_gone = || find_shown(mount, self.tree).is_none();
        let is_dead = is_dead(mount, self.access);
        match (shows(mount, disk), was_node_of(mount, disk)) {
            (false, false) if shows_other && is_dead => MountState::Dead,
            (false, false) if shows_other => MountState::Unrecorded,
            (false, false) if shows_nvme(mount) && shows_gone() => MountState::DeviceGone,
            (false, false) => MountState::Foreign,
            // A number, or a name, that two disks had one after the other.
            (true, _) if shows_other => MountState::OtherDevice,
            (true, _) if is_dead => MountState::Dead,
            _ if other.is_some() => MountState::OtherDevice,
            (false, true) => MountState::DeviceGone,
            // It may live on in a map, whatever becomes of the namespace.
            _ if self.current.is_none() && !self.by_map && shows_gone() => MountState::DeviceGone,
            _ => MountState::Right,
        }
    }
}

impl Mounted<'_> {
    /// What is wrong with it, for people; `current` is the disk that the volume is now.
    pub(super) fn describe(&self, current: Option<&Disk>) -> Option<String> {
        let shown = self.mount.map(describe).unwrap_or_default();
        let disk = self.disk;
        Some(match (self.state, current) {
            (MountState::Right, _) => return None,
            (MountState::NotMounted | MountState::Withdrawn, _) => "is not mounted".to_owned(),
            (MountState::Dead, _) => "is a filesystem that was shut down".to_owned(),
            (MountState::OtherDevice, Some(now)) => {
                format!("leads to {disk}, but the volume is {now} now")
            }
            (MountState::DeviceGone, _) if self.mount.is_some_and(|it| shows(it, disk)) => {
                format!("leads to {disk}, which is gone")
            }
            _ => format!("is a mount of {shown}, not of {disk}"),
        })
    }
}

/// Whether a repair that did not come to its end has taken the mount of a publication away.
pub(in crate::volume) fn is_missing(publication: &Publication, mounts: &MountTable) -> bool {
    publication.withdrawn && mounts.find_mount_at(&publication.target_path).is_none()
}

/// Whether a mount is of the node that a disk had and is gone.
fn was_node_of(mount: &Mount, disk: &Disk) -> bool {
    mount.root.to_string_lossy() == format!("/{}//deleted", disk.name)
}
