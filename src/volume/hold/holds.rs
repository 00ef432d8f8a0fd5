//! What holds the I/O of the volumes of this node, and what is known of it in this process alone.
//!
//! Invariant: the lock of a map is held around what changes it, and around nothing that waits for a target of its own
//! accord.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::host::dm::{LOCK_PATIENCE, MapLock, lock};
use crate::host::question::Questions;
use crate::host::{MapError, MapId};
use crate::volume::ground::Ground;
use crate::volume::locks::{Guard, Locks};
use crate::volume::volume_id::VolumeId;

/// Why a volume was not held when that was looked at.
#[derive(Debug, Clone)]
pub(super) struct Reason {
    /// When.
    pub(super) found: Instant,
    /// Nothing where it was held.
    pub(super) why: Option<String>,
}

/// What holds the I/O of the volumes of this node.
#[derive(Debug)]
pub struct Holds {
    pub(super) ground: Arc<Ground>,
    /// The part within this process of the lock of a map.
    maps: Locks<MapId>,
    /// Which disks do not let themselves be opened.
    pub(super) opens: Questions,
    /// When requests of a volume last failed at its target, and only they.
    media_errors: Mutex<HashMap<VolumeId, Instant>>,
    /// Why the map of a volume does not get the disk that is there.
    refused_disks: Mutex<HashMap<VolumeId, String>>,
    /// Which controllers of a volume that a map holds could not be told to give up.
    not_held: Mutex<HashMap<VolumeId, String>>,
    /// Why volumes were not held when that was looked at last.
    reasons: Mutex<HashMap<VolumeId, Reason>>,
}

impl Holds {
    pub(in crate::volume) fn on(ground: Arc<Ground>) -> Holds {
        Holds {
            ground,
            maps: Locks::default(),
            opens: Questions::default(),
            media_errors: Mutex::default(),
            refused_disks: Mutex::default(),
            not_held: Mutex::default(),
            reasons: Mutex::default(),
        }
    }

    /// When errors of each volume were last let through.
    pub(in crate::volume) fn media_errors(&self) -> MutexGuard<'_, HashMap<VolumeId, Instant>> {
        locked(&self.media_errors)
    }

    /// Why the map of each volume does not get the disk that is there.
    pub(in crate::volume) fn refused_disks(&self) -> MutexGuard<'_, HashMap<VolumeId, String>> {
        locked(&self.refused_disks)
    }

    /// Which controllers could not be told to give up, of the volumes that a map holds.
    pub(in crate::volume) fn not_held(&self) -> MutexGuard<'_, HashMap<VolumeId, String>> {
        locked(&self.not_held)
    }

    /// Why each volume was not held when that was looked at last.
    pub(super) fn reasons(&self) -> MutexGuard<'_, HashMap<VolumeId, Reason>> {
        locked(&self.reasons)
    }

    /// Forgets what is known of a volume that has left.
    pub(in crate::volume) fn forget(&self, id: &VolumeId) {
        self.media_errors().remove(id);
        self.refused_disks().remove(id);
        self.not_held().remove(id);
        self.reasons().remove(id);
    }
}

/// Each entry is whole whatever happened to the thread that held the lock.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

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
