//! What is done for the maps of volumes that are staged here without anybody having called: bringing back, letting go.
//!
//! The lock of the volume is not held. What gives a map another table holds the lock of the map, and reads the record
//! again under it, for the volume may have left meanwhile. `give_up` reads the record before: a map that has gone holds
//! nothing, and one that was made anew meanwhile is told nothing while its I/O flows. `retune` and `limit_dirty_of_maps`
//! hold no lock: they change no map, and a controller or head that has become another's is not tuned.
//!
//! Invariant: a limit of dirty pages that cannot be set is a warning, and no volume is refused for it.

use thiserror::Error;

use super::company::CompanyError;
use super::holds::{Holds, MapGuard};
use super::let_go::{LetGo, LetGoError, Waits};
use super::map::{Below, SwapError, Swapped};
use super::{Hold, native_time};
use crate::causes::chain;
use crate::host::{HeadError, MapError};
use crate::volume::identity::Disk;
use crate::volume::record::{RecordError, StageRecord};
use crate::volume::sight::LookError;
use crate::volume::standing::carrier::find_usable;
use crate::volume::volume_id::VolumeId;

/// Why the hold of a volume is as it was.
#[derive(Debug, Error)]
pub enum KeepError {
    /// The record cannot be read.
    #[error("cannot read what is staged here")]
    Record(#[from] RecordError),
    /// The map is not ours to change now.
    #[error("cannot change the map")]
    Map(#[from] MapError),
    /// The map did not get a disk.
    #[error(transparent)]
    Swap(#[from] SwapError),
    /// The map was not let go.
    #[error(transparent)]
    LetGo(#[from] LetGoError),
    /// A controller may keep its I/O.
    #[error(transparent)]
    Company(#[from] CompanyError),
    /// The head does not outlive its paths.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The devices or maps cannot be read.
    #[error(transparent)]
    Look(#[from] LookError),
}

impl Holds {
    /// Gives the map of a volume the disk that carries it now.
    ///
    /// # Errors
    /// [`KeepError`].
    pub fn bring_back(&self, id: &VolumeId) -> Result<Swapped, KeepError> {
        if !self.can_open_disks(id)? {
            return Ok(Swapped::NoDisk);
        }
        let Some((locked, record)) = self.lock_wanted(id)? else {
            return Ok(Swapped::Already);
        };
        let Some(below) = Below::of(&record) else {
            return Ok(Swapped::Already);
        };
        let swapped = self.swap_locked(below, &locked);
        let mut refused = self.refused_disks();
        match &swapped {
            Err(SwapError::Map(error @ MapError::Busy { .. })) => {
                refused.insert(id.clone(), error.to_string());
            }
            _ => {
                refused.remove(id);
            }
        }
        Ok(swapped?)
    }

    /// Whether the disks that the map of a volume may take can be opened without waiting for their target. The kernel reads
    /// a new disk for partitions, and whoever opens it waits for that: to load a table would, under the lock of the map.
    fn can_open_disks(&self, id: &VolumeId) -> Result<bool, KeepError> {
        let record = self.ground.find_wanted(id)?;
        let Some((record, identity)) = record.as_ref().and_then(|r| Some((r, r.identity()?)))
        else {
            return Ok(true);
        };
        let tree = self.ground.scan_subsystem(&record.source.nqn)?;
        let disks = find_usable(&tree, &record.source.nqn, identity, None).into_iter();
        let nodes = disks.map(|disk| self.ground.config.root.join("dev").join(&disk.name));
        Ok(self.opens.all_answer_an_open(nodes.collect()))
    }

    /// Lets everything of a volume fail that waits, and says whether anything did.
    ///
    /// # Errors
    /// [`KeepError`].
    pub fn give_up(&self, id: &VolumeId, waits: Waits) -> Result<LetGo, KeepError> {
        let record = self.ground.records.read(id)?;
        match record.as_ref().and_then(|r| Some((r, r.map()?))) {
            Some((record, map)) => Ok(self.let_go(Some(record), map, waits)?),
            None => Ok(LetGo::Reached),
        }
    }

    /// Tunes the controllers and heads of a volume as its hold needs them.
    ///
    /// # Errors
    /// [`KeepError`].
    pub fn retune(&self, id: &VolumeId) -> Result<(), KeepError> {
        let Some(record) = self.ground.find_wanted(id)? else {
            return Ok(());
        };
        let Some(hold) = &record.hold else {
            return Ok(());
        };
        let nqn = &record.source.nqn;
        let tree = self.ground.scan()?;
        match (hold, record.identity()) {
            (Hold::Dm(_), Some(identity)) => {
                let done = self.give_up_at_once(&tree, nqn, identity, &mut Vec::new());
                match &done {
                    Err(CompanyError::Keeping(keeping)) => {
                        self.not_held().insert(id.clone(), keeping.to_string());
                    }
                    _ => drop(self.not_held().remove(id)),
                }
                done?;
            }
            (Hold::Native, Some(identity)) => {
                let time = native_time(record.source.path_loss_timeout);
                let heads = tree.find_subsystems(nqn).flat_map(|it| &it.namespaces);
                for head in heads.filter(|head| identity.check(head).is_ok()) {
                    self.ground.host().keep_head(&head.name, time)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Locks the map of a volume that is here, and reads its record under that lock: an expansion records the new size
    /// before it loads the longer table. `None` where there is none to be changed.
    pub(in crate::volume) fn lock_wanted(
        &self,
        id: &VolumeId,
    ) -> Result<Option<(MapGuard<'_>, StageRecord)>, KeepError> {
        let Some(map) = self.ground.find_wanted(id)?.and_then(|record| record.map()) else {
            return Ok(None);
        };
        let locked = self.lock_map(map)?;
        let record = self.ground.find_wanted(id)?;
        let record = record.filter(|record| record.map() == Some(map));
        Ok(record.map(|record| (locked, record)))
    }

    /// Limits the dirty pages of every map of a volume that is here: an earlier plugin may have been
    /// killed before it did so, or known nothing of it.
    ///
    /// # Errors
    /// [`KeepError`], when it cannot be told which maps there are.
    pub fn limit_dirty_of_maps(&self) -> Result<(), KeepError> {
        let (records, _) = self.ground.staged()?;
        for map in records.iter().filter_map(|record| record.map()) {
            let known = self.ground.read_map(map)?;
            // Its disk has no page cache before the first table.
            if let Some(known) = known.filter(|known| known.size_bytes > 0) {
                self.limit_dirty(&Disk::of_map(&known));
            }
        }
        Ok(())
    }

    /// Limits the dirty pages of the disk of a map, if the kernel lets us.
    pub(super) fn limit_dirty(&self, disk: &Disk) {
        if let Err(error) = self.ground.host().limit_dirty(disk.dev) {
            let (disk, error) = (&disk.name, chain(&error));
            tracing::warn!(
                disk,
                error,
                "a map may fill the memory of this node while it holds writes"
            );
        }
    }
}
