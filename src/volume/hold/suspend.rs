//! Suspending the map of a volume that has lost its last path.
//!
//! A map that waits for a path takes its first request off the queue and puts it back without a pause
//! (`process_queued_bios` in drivers/md/dm-mpath.c): a processor is busy for as long as it waits. A
//! suspended map keeps the same requests at no cost.
//!
//! A process that is killed while the kernel waits within its suspend leaves the map active, and without
//! `queue_if_no_path` (see `host/dm/suspend.rs`): the next loss would reach the filesystem. Such a map looks like one that
//! was let go, but for its name, and is made to queue again.
//!
//! Invariants: only where every disk of the map is gone, or nothing is under way and a controller would keep what comes
//! next: the suspend waits for I/O that waits below the map, and an interrupted one is not harmless; under the lock of the map, so that none is suspended whose
//! disk is just coming back; a map that somebody lets go never queues again.

use std::fs;
use std::io::ErrorKind;
use std::time::Instant;

use super::super::standing::carrier::find_keeping;
use super::super::volume_id::VolumeId;
use super::holds::Holds;
use super::keep::KeepError;
use super::map::{Below, SwapError, proved};
use crate::host::MapError;
use crate::host::dm::{Map, MapPath};

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspended {
    /// Its I/O waits at no cost.
    Done,
    /// The kernel waited for I/O below the map: it is to be tried again.
    NotYet,
    /// It is suspended already, was let go, or has a disk to take.
    NotNeeded,
}

impl Holds {
    /// Suspends the map of every volume that has lost its last disk and whose record can be read; one that cannot be suspended does not keep the others. None is
    /// begun at `until` or later: a process that ends within a suspend would give it up.
    ///
    /// # Errors
    /// The first [`KeepError`].
    pub fn suspend_all(&self, until: Instant) -> Result<(), KeepError> {
        let mut done = Ok(());
        for record in self.ground.staged()?.0 {
            if Instant::now() >= until {
                break;
            }
            done = done.and(self.suspend(&record.volume_id).map(drop));
        }
        done
    }

    /// Suspends the map of a volume, if all of its disks are gone, or are lost and would be kept by a controller, and no
    /// other carries the volume now.
    ///
    /// # Errors
    /// [`KeepError`].
    pub fn suspend(&self, id: &VolumeId) -> Result<Suspended, KeepError> {
        let Some((_locked, record)) = self.lock_wanted(id)? else {
            return Ok(Suspended::NotNeeded);
        };
        let Some(below) = Below::of(&record) else {
            return Ok(Suspended::NotNeeded);
        };
        let known = self.ground.read_map(below.map)?;
        let tree = self.ground.scan_subsystem(below.nqn)?;
        if let Some(known) = &known {
            self.queue_again(known)?;
        }
        match known {
            Some(known) if proved(&tree, below, Some(&known)).is_empty() => {
                match find_keeping(&record, &tree).is_empty() {
                    true => Ok(self.suspend_lost(&known)?),
                    false => Ok(self.suspend_exposed(&known)?),
                }
            }
            _ => Ok(Suspended::NotNeeded),
        }
    }

    /// Suspends the map of a volume, if all of its disks are gone. Another that carries the volume now is not looked for,
    /// which takes long where there are many subsystems: the next look takes it.
    ///
    /// # Errors
    /// [`KeepError`].
    pub fn suspend_gone(&self, id: &VolumeId) -> Result<Suspended, KeepError> {
        let Some((_locked, record)) = self.lock_wanted(id)? else {
            return Ok(Suspended::NotNeeded);
        };
        let map = record.map().map(|map| self.ground.read_map(map));
        let Some(known) = map.transpose()?.flatten() else {
            return Ok(Suspended::NotNeeded);
        };
        self.queue_again(&known)?;
        Ok(self.suspend_lost(&known)?)
    }

    /// Suspends a map if all of its disks are gone, for whoever holds its lock.
    pub(super) fn suspend_lost(&self, known: &Map) -> Result<Suspended, SwapError> {
        // Asked of the kernel's list of all disks: one that a scan has just missed may be there, and so may one
        // about which there is no answer.
        let is_there = |path: &MapPath| {
            let entry = format!("sys/dev/block/{}", path.dev);
            let entry = fs::symlink_metadata(self.ground.config.root.join(entry));
            !entry.is_err_and(|error| error.kind() == ErrorKind::NotFound)
        };
        if known.paths.is_empty() || known.paths.iter().any(is_there) {
            return Ok(Suspended::NotNeeded);
        }
        self.suspend_waiting(known)
    }

    /// Keeps what comes from a disk where a controller would keep it, and suspends the map if nothing of it is under way.
    fn suspend_exposed(&self, known: &Map) -> Result<Suspended, SwapError> {
        if known.suspended || known.is_let_go {
            return Ok(Suspended::NotNeeded);
        }
        for path in known.usable_paths() {
            self.ground.host().fail_path(known.id, path.dev)?;
        }
        match known.io {
            Some(_) => Ok(Suspended::NotNeeded),
            None => self.suspend_waiting(known),
        }
    }

    fn suspend_waiting(&self, known: &Map) -> Result<Suspended, SwapError> {
        if known.suspended || known.is_let_go {
            return Ok(Suspended::NotNeeded);
        }
        let map = known.id;
        match self.ground.host().suspend_map(map) {
            Ok(()) => Ok(Suspended::Done),
            Err(error @ MapError::Waits { .. }) => {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::warn!(%map, error, "a map without a path is not suspended, and keeps a processor busy");
                Ok(Suspended::NotYet)
            }
            Err(MapError::Missing { .. }) => Ok(Suspended::NotNeeded),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets the map of a volume queue if it should and does not, and says whether that was so.
    ///
    /// # Errors
    /// [`KeepError`].
    pub fn queue(&self, id: &VolumeId) -> Result<bool, KeepError> {
        let Some((locked, _)) = self.lock_wanted(id)? else {
            return Ok(false);
        };
        match self.ground.read_map(locked.map())? {
            Some(known) => Ok(self.queue_again(&known)?),
            None => Ok(false),
        }
    }

    /// The same for whoever holds the lock of the map, and has just read it.
    pub(super) fn queue_again(&self, known: &Map) -> Result<bool, SwapError> {
        if !known.has_lost_its_queue() {
            return Ok(false);
        }
        let map = known.id;
        tracing::warn!(%map, "a map did not queue, for a suspend of it was cut off: it queues again");
        self.ground.host().queue_map(map)?;
        Ok(true)
    }
}
