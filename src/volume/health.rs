//! NodeGetVolumeHealth and NodeGetStorageHealth: what is wrong with the volumes that are staged here.
//!
//! Invariant: nothing of a volume is touched: no open, no stat, no I/O, but for what a [`Sight`] asks of an xfs. kubelet
//! asks before a volume is staged too, and then nothing is wrong.

use std::collections::BTreeMap;

use nvme_sysfs::Nqn;

use super::condition::{
    HealthEntry, HealthError, HealthReason, HealthStatus, StorageHealthEntry, StorageStatus, judge,
    judge_storage,
};
use super::hold::MEDIA_ERRORS_LAST;
use super::record::{RecordError, StageRecord};
use super::sight::Sight;
use super::standing::Standing;
use super::volume_id::VolumeId;
use super::volumes::Volumes;

impl Volumes {
    /// What is wrong with a volume; nothing about one that is not staged here.
    ///
    /// # Errors
    /// [`HealthError`].
    pub fn health(&self, volume_id: &VolumeId) -> Result<Vec<HealthEntry>, HealthError> {
        let Some(mut record) = self.ground.records.read(volume_id)? else {
            return Ok(Vec::new());
        };
        let sight = self.look()?;
        record.forget_gone(&sight.mounts);
        Ok(self.conditions(&record, &sight)?)
    }

    /// Every adverse condition of a volume, by what is seen and what this process knows.
    pub(super) fn conditions(
        &self,
        record: &StageRecord,
        sight: &Sight,
    ) -> Result<Vec<HealthEntry>, RecordError> {
        let id = &record.volume_id;
        let standing = Standing::of(record, sight);
        let standing = standing.as_ref();
        let may_wait = standing.is_some_and(|it| record.map().is_none() || !it.keeping.is_empty());
        let not_held = match may_wait {
            true => self.holds.why_not_held(record, sight.tree())?,
            false => None,
        };
        let mut entries = judge(record, standing, sight.tree(), not_held.as_deref());
        entries.extend(self.judge_media(record));
        let has_disk = standing.is_some_and(|standing| standing.namespace().is_some());
        if let Some(refused) = self.holds.refused_disks().get(id).filter(|_| has_disk) {
            let lost = entries.iter_mut();
            for entry in lost.filter(|entry| entry.reason == HealthReason::NoPath) {
                entry.message += &format!("; its map does not get the disk: {refused}");
            }
        }
        Ok(entries)
    }

    /// Whether requests have failed at the target within the last minute, as far as this process knows.
    fn judge_media(&self, record: &StageRecord) -> Option<HealthEntry> {
        let seen = self.holds.media_errors().get(&record.volume_id).copied()?;
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
        let records = self.ground.records.read_all()?;
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

fn is_worse(entry: &StorageHealthEntry, known: &StorageHealthEntry) -> bool {
    entry.status == StorageStatus::Unreachable && known.status == StorageStatus::Degraded
}
