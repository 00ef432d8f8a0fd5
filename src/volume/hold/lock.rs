//! The lock of a map, within this process and among all of this program.
//!
//! Invariant: held around what changes a map, and around nothing that waits for a target of its own accord.

use super::super::locks::Guard;
use super::super::record::StageRecord;
use super::super::recover::RecoverError;
use super::super::volume_id::VolumeId;
use super::super::volumes::Volumes;
use crate::host::dm::{LOCK_PATIENCE, MapLock, lock};
use crate::host::{MapError, MapId};

/// Keeps a map from others until it is dropped.
#[derive(Debug)]
pub(in crate::volume) struct MapGuard<'a> {
    map: MapId,
    // Given back first: whoever waits within this process must not find it taken by this process.
    _among_processes: Option<MapLock>,
    _within_this_one: Guard<'a, MapId>,
}

impl MapGuard<'_> {
    /// Which map it keeps.
    pub(super) fn map(&self) -> MapId {
        self.map
    }
}

impl Volumes {
    /// Locks a map as soon as it is free. Other processes are waited for some seconds.
    pub(in crate::volume) fn lock_map(&self, map: MapId) -> Result<MapGuard<'_>, MapError> {
        let within = self.maps.lock(&map);
        Ok(MapGuard {
            map,
            _among_processes: lock(&self.config.root, map, LOCK_PATIENCE)?,
            _within_this_one: within,
        })
    }

    /// Locks the map of a volume that is here, and reads its record under that lock: an expansion records the new size
    /// before it loads the longer table. `None` where there is none to be changed.
    pub(in crate::volume) fn lock_wanted(
        &self,
        id: &VolumeId,
    ) -> Result<Option<(MapGuard<'_>, StageRecord)>, RecoverError> {
        let Some(map) = self.find_wanted(id)?.and_then(|record| record.map()) else {
            return Ok(None);
        };
        let locked = self.lock_map(map)?;
        let record = self.find_wanted(id)?;
        let record = record.filter(|record| record.map() == Some(map));
        Ok(record.map(|record| (locked, record)))
    }
}
