//! Judging volumes by their records, the tree of devices and the mount table.
//!
//! Invariant: nothing of a volume is touched: no open, no stat, no I/O. kubelet asks before a volume
//! is staged too, and then nothing is wrong.

use std::collections::BTreeMap;

use nvme_sysfs::{Namespace, Nqn, Tree};

use super::capability::AccessType;
use super::condition::{
    HealthEntry, HealthError, HealthReason, HealthStatus, StorageHealthEntry, StorageStatus,
};
use super::current::{Current, count_usable_paths, find_current};
use super::identity::Disk;
use super::mounts::{is_shut_down, read_mounts, shows};
use super::record::{Publication, StageRecord, Staged};
use super::volume_id::VolumeId;
use super::volumes::Volumes;
use crate::host::mountinfo::{Mount, MountTable};

impl Volumes {
    /// What is wrong with a volume; nothing about one that is not staged here.
    ///
    /// # Errors
    /// [`HealthError`].
    pub fn health(&self, volume_id: &VolumeId) -> Result<Vec<HealthEntry>, HealthError> {
        let Some(record) = self.records.read(volume_id)? else {
            return Ok(Vec::new());
        };
        let tree = self.config.trees.scan()?;
        let mounts = read_mounts(&self.config.root)?;
        Ok(judge(&record, &tree, &mounts))
    }

    /// What is wrong with the subsystems of the volumes that are staged here.
    ///
    /// # Errors
    /// [`HealthError`].
    pub fn storage_health(&self) -> Result<Vec<StorageHealthEntry>, HealthError> {
        let records = self.records.read_all()?;
        let tree = self.config.trees.scan()?;
        let mut worst: BTreeMap<&Nqn, StorageHealthEntry> = BTreeMap::new();
        for record in &records {
            let Some(entry) = judge_storage(record, &tree) else {
                continue;
            };
            let nqn = &record.source.nqn;
            let worse = worst.get(nqn).is_none_or(|known| is_worse(&entry, known));
            if worse {
                worst.insert(nqn, entry);
            }
        }
        Ok(worst.into_values().collect())
    }
}

/// Every adverse condition of a staged volume.
pub(super) fn judge(record: &StageRecord, tree: &Tree, mounts: &MountTable) -> Vec<HealthEntry> {
    let Some(staged) = record.staged() else {
        return Vec::new();
    };
    let nqn = &record.source.nqn;
    let (disk, path) = match find_current(tree, nqn, &staged.identity) {
        Current::Found(disk) => (Some(disk), judge_paths(record, tree, disk)),
        Current::Other(disk) => (None, Some(other_namespace(nqn, disk, staged))),
        Current::Missing => (None, Some(no_path(nqn, tree))),
    };
    let mount = judge_mounts(record, staged, disk, mounts);
    path.into_iter().chain(mount).collect()
}

fn judge_paths(record: &StageRecord, tree: &Tree, disk: &Namespace) -> Option<HealthEntry> {
    let nqn = &record.source.nqn;
    let usable = count_usable_paths(tree, nqn, disk);
    // A transport without addresses has one path.
    let wanted = record.source.addresses.len().max(1);
    if usable == 0 {
        return Some(no_path(nqn, tree));
    }
    (usable < wanted).then(|| HealthEntry {
        status: HealthStatus::Degraded,
        reason: HealthReason::PathsDown,
        message: format!("{usable} of {wanted} paths to {nqn} are usable"),
    })
}

fn no_path(nqn: &Nqn, tree: &Tree) -> HealthEntry {
    let controllers = tree.find_subsystems(nqn).flat_map(|s| &s.controllers);
    let states: Vec<String> = controllers
        .map(|controller| format!("{} is {}", controller.instance, controller.state))
        .collect();
    let states = if states.is_empty() {
        "there is no controller".to_owned()
    } else {
        states.join(", ")
    };
    HealthEntry {
        status: HealthStatus::Inaccessible,
        reason: HealthReason::NoPath,
        message: format!("no path to {nqn} is usable: {states}"),
    }
}

fn other_namespace(nqn: &Nqn, disk: &Namespace, staged: &Staged) -> HealthEntry {
    let message = match staged.identity.check(disk) {
        Err(mismatch) => format!("behind {nqn}, {mismatch}"),
        Ok(()) => format!("behind {nqn}, {} is another volume", disk.name),
    };
    HealthEntry {
        status: HealthStatus::Inaccessible,
        reason: HealthReason::IdentityMismatch,
        message,
    }
}

/// The first mount of the volume that does not lead to its disk.
fn judge_mounts(
    record: &StageRecord,
    staged: &Staged,
    disk: Option<&Namespace>,
    mounts: &MountTable,
) -> Option<HealthEntry> {
    let current = disk.and_then(Disk::of);
    let staging = match record.capability.access {
        AccessType::Filesystem { .. } => {
            let mount = mounts.find_mount_at(&record.staging_target_path);
            let path = record.staging_target_path.display();
            let wrong = describe_wrong(mount, &staged.disk, current.as_ref());
            wrong.map(|wrong| format!("{path} {wrong}"))
        }
        AccessType::Block => None,
    };
    let published = || {
        let wrong = |publication| judge_publication(publication, current.as_ref(), mounts);
        record.publications.iter().find_map(wrong)
    };
    let message = staging.or_else(published)?;
    Some(HealthEntry {
        status: HealthStatus::Inaccessible,
        reason: HealthReason::StaleMount,
        message,
    })
}

fn judge_publication(
    publication: &Publication,
    current: Option<&Disk>,
    mounts: &MountTable,
) -> Option<String> {
    let path = publication.target_path.display();
    let mount = mounts.find_mount_at(&publication.target_path);
    let wrong = describe_wrong(mount, &publication.disk, current)?;
    Some(format!("{path} {wrong}"))
}

/// What is wrong with a mount that should lead to `mounted`, the disk as which the volume appeared
/// when it was mounted, while the volume is `current`.
fn describe_wrong(mount: Option<&Mount>, mounted: &Disk, current: Option<&Disk>) -> Option<String> {
    let Some(mount) = mount else {
        return Some("is not mounted".to_owned());
    };
    if !shows(mount, mounted) {
        return Some(format!("is a mount of {}, not of {mounted}", mount.dev));
    }
    if is_shut_down(mount) {
        return Some("is a filesystem that was shut down".to_owned());
    }
    // Without a disk there is no path either, and the mount may live on when it returns.
    let current = current?;
    (mounted != current).then(|| format!("leads to {mounted}, but the volume is {current} now"))
}

fn judge_storage(record: &StageRecord, tree: &Tree) -> Option<StorageHealthEntry> {
    let staged = record.staged()?;
    let nqn = &record.source.nqn;
    let entry = match find_current(tree, nqn, &staged.identity) {
        Current::Found(disk) => judge_paths(record, tree, disk)?,
        // The subsystem is reached; what stands there is the volume's condition.
        Current::Other(_) => return None,
        Current::Missing => no_path(nqn, tree),
    };
    let status = match entry.status {
        HealthStatus::Degraded => StorageStatus::Degraded,
        HealthStatus::Inaccessible => StorageStatus::Unreachable,
    };
    Some(StorageHealthEntry {
        status,
        reason: entry.reason,
        message: entry.message,
    })
}

fn is_worse(entry: &StorageHealthEntry, known: &StorageHealthEntry) -> bool {
    entry.status == StorageStatus::Unreachable && known.status == StorageStatus::Degraded
}
