//! The lock of a map, within this process and among all of this program.
//!
//! Invariant: held around what changes a map, and around nothing that waits for a target of its own accord.

use super::super::locks::Guard;
use super::holds::Holds;
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

impl Holds {
    /// Locks a map as soon as it is free. Other processes are waited for some seconds.
    pub(in crate::volume) fn lock_map(&self, map: MapId) -> Result<MapGuard<'_>, MapError> {
        let within = self.maps.lock(&map);
        Ok(MapGuard {
            map,
            _among_processes: lock(&self.ground.config.root, map, LOCK_PATIENCE)?,
            _within_this_one: within,
        })
    }
}
