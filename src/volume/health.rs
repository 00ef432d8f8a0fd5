//! Judging volumes by their records, the tree of devices and the mount table.
//!
//! Invariant: nothing of a volume is touched: no open, no stat, no I/O, but for what a [`Sight`] asks of an xfs.
//! kubelet asks before a volume is staged too, and then nothing is wrong.

use std::collections::BTreeMap;

use nvme_sysfs::{Instance, Namespace, Nqn, Tree};

use super::capability::AccessType;
use super::condition::{
    HealthEntry, HealthError, HealthReason, HealthStatus, StorageHealthEntry, StorageStatus,
};
use super::current::{Carrier, Current, find_carrier};
use super::hold::{MEDIA_ERRORS_LAST, find_keeping};
use super::identity::Disk;
use super::mounts::{describe, is_dead, shows};
use super::place::kubelet_node;
use super::record::{Publication, StageRecord, Staged};
use super::sight::Sight;
use super::view::View;
use super::volume_id::VolumeId;
use super::volumes::Volumes;
use crate::host::MountAccess;
use crate::host::dm::Map;
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
        let sight = self.look()?;
        let mut entries = judge(&record, &sight);
        entries.extend(self.judge_media(&record));
        self.judge_not_held(&record, &mut entries);
        let has_disk = View::of(&record, &sight).disk.is_some();
        if let Some(refused) = self.refused_disks().get(volume_id).filter(|_| has_disk) {
            let lost = entries.iter_mut();
            for entry in lost.filter(|entry| entry.reason == HealthReason::NoPath) {
                entry.message += &format!("; its map does not get the disk: {refused}");
            }
        }
        Ok(entries)
    }

    /// Adds why its I/O is not held, as far as this process knows.
    fn judge_not_held(&self, record: &StageRecord, entries: &mut Vec<HealthEntry>) {
        let reasons = self.not_held();
        let Some(why) = reasons.get(&record.volume_id) else {
            return;
        };
        let mut seen = entries.iter_mut();
        match seen.find(|entry| entry.reason == HealthReason::NotHeld) {
            Some(entry) => entry.message += &format!("; {why}"),
            // With a map, what is not seen any more has passed.
            None if record.map().is_some() => {}
            None => entries.push(HealthEntry {
                status: HealthStatus::Degraded,
                reason: HealthReason::NotHeld,
                message: format!("its I/O is not held during a loss: {why}"),
            }),
        }
    }

    /// Whether requests have failed at the target within the last minute, as far as this process knows.
    fn judge_media(&self, record: &StageRecord) -> Option<HealthEntry> {
        let seen = self.media_errors().get(&record.volume_id).copied()?;
        (seen.elapsed() < MEDIA_ERRORS_LAST).then(|| HealthEntry {
            status: HealthStatus::Degraded,
            reason: HealthReason::MediaError,
            message: record.describe_media_error(),
        })
    }

    /// What is wrong with the subsystems of the volumes that are staged here.
    ///
    /// # Errors
    /// [`HealthError`].
    pub fn storage_health(&self) -> Result<Vec<StorageHealthEntry>, HealthError> {
        let records = self.records.read_all()?;
        let sight = self.look()?;
        let mut worst: BTreeMap<&Nqn, StorageHealthEntry> = BTreeMap::new();
        for record in records.iter() {
            let Some(entry) = judge_storage(record, &sight) else {
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
pub(super) fn judge(record: &StageRecord, sight: &Sight) -> Vec<HealthEntry> {
    let Some(staged) = record.staged() else {
        return Vec::new();
    };
    let carrier = find_carrier(record, staged, sight);
    let path = match carrier.namespace {
        Current::Other(disk) => Some(other_namespace(&record.source.nqn, disk, staged)),
        Current::Found(_) | Current::Missing => judge_paths(record, sight.tree(), &carrier),
    };
    let mount = judge_mounts(record, staged, carrier.disk.as_ref(), &sight.mounts);
    let let_go = carrier.map.filter(|map| map.was_let_go()).map(let_go);
    let kept = find_keeping(record, sight.tree()).into_iter().next();
    let kept = kept.map(not_held);
    path.into_iter()
        .chain(mount)
        .chain(let_go)
        .chain(kept)
        .collect()
}

fn judge_paths(record: &StageRecord, tree: &Tree, carrier: &Carrier<'_>) -> Option<HealthEntry> {
    let nqn = &record.source.nqn;
    let usable = carrier.usable_paths;
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

fn let_go(map: &Map) -> HealthEntry {
    HealthEntry {
        status: HealthStatus::Inaccessible,
        reason: HealthReason::StaleMount,
        message: format!("{} was let go while no path existed", map.disk),
    }
}

fn not_held(controller: Instance) -> HealthEntry {
    HealthEntry {
        status: HealthStatus::Degraded,
        reason: HealthReason::NotHeld,
        message: format!(
            "{controller} outlives a loss, and sends what waits in it to whatever stands behind the name then"
        ),
    }
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
    current: Option<&Disk>,
    mounts: &MountTable,
) -> Option<HealthEntry> {
    let access = record.capability.mount_access();
    let staging = match record.capability.access {
        AccessType::Filesystem { .. } => {
            let mount = mounts.find_mount_at(&record.staging_target_path);
            let path = record.staging_target_path.display();
            let wrong = describe_wrong(mount, access, &staged.disk, current);
            wrong.map(|wrong| format!("{path} {wrong}"))
        }
        AccessType::Block => None,
    };
    let published = || {
        let wrong = |publication| judge_publication(publication, access, current, mounts);
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
    access: MountAccess,
    current: Option<&Disk>,
    mounts: &MountTable,
) -> Option<String> {
    let mounted = &publication.disk;
    let published = &publication.target_path;
    let mount = mounts.find_mount_at(published);
    if let Some(wrong) = describe_wrong(mount, access, mounted, current) {
        return Some(format!("{} {wrong}", published.display()));
    }
    // Bound by kubelet when the pod started: what is bound anew for a pod does not reach it.
    let node = kubelet_node(published)?;
    let mount = mounts.find_mount_at(&node)?;
    let wrong = describe_wrong(Some(mount), access, mounted, current)?;
    Some(format!("{} {wrong}", node.display()))
}

/// What is wrong with a mount that should lead to `mounted`, the disk as which the volume appeared
/// when it was mounted, while the volume is `current`.
fn describe_wrong(
    mount: Option<&Mount>,
    access: MountAccess,
    mounted: &Disk,
    current: Option<&Disk>,
) -> Option<String> {
    let Some(mount) = mount else {
        return Some("is not mounted".to_owned());
    };
    if !shows(mount, mounted) {
        let shown = describe(mount);
        return Some(format!("is a mount of {shown}, not of {mounted}"));
    }
    if is_dead(mount, access) {
        return Some("is a filesystem that was shut down".to_owned());
    }
    // Without a disk there is no path either, and the mount may live on when it returns.
    let current = current?;
    (mounted != current).then(|| format!("leads to {mounted}, but the volume is {current} now"))
}

fn judge_storage(record: &StageRecord, sight: &Sight) -> Option<StorageHealthEntry> {
    let carrier = find_carrier(record, record.staged()?, sight);
    let entry = match carrier.namespace {
        // The subsystem is reached; what stands there is the volume's condition.
        Current::Other(_) => return None,
        Current::Found(_) | Current::Missing => judge_paths(record, sight.tree(), &carrier)?,
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
