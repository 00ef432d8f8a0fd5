//! The map of a volume: making it, and giving it the disk that carries the volume now.
//!
//! One order for both: prove the identity, load, prove it again, resume. Between load and resume the
//! map holds the disk open, so that its number and name cannot become another's; what was proved the
//! second time is what the I/O goes to.
//!
//! Invariant: under the lock of the map, which is held only around calls that wait for no I/O.

use nvme_sysfs::{DevT, Diskseq, Namespace, Nqn, Tree};
use thiserror::Error;

use super::super::identity::{Disk, VolumeIdentity};
use super::super::record::StageRecord;
use super::super::sight::LookError;
use super::super::standing::carrier::{carried_bytes, find_usable};
use super::holds::{Holds, MapGuard};
use crate::host::dm::{Map, OnPathLoss, PathState};
use crate::host::{MapError, MapId, MapTable};

/// What a map lies over.
#[derive(Debug, Clone, Copy)]
pub(in crate::volume) struct Below<'a> {
    /// Which map.
    pub(in crate::volume) map: MapId,
    /// The subsystem.
    pub(in crate::volume) nqn: &'a Nqn,
    /// The namespace; its size is the length of the map.
    pub(in crate::volume) identity: &'a VolumeIdentity,
    /// Whether nobody may write.
    pub(in crate::volume) read_only: bool,
}

/// What became of a swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swapped {
    /// I/O goes to other disks now, or flows again.
    Done,
    /// I/O is sent again to the disks, on all of which some had failed.
    Reinstated,
    /// There was nothing to do.
    Already,
    /// No disk carries the volume now, or none that was proved twice.
    NoDisk,
    /// I/O waits below a table that hands errors up: it is to be tried again.
    NotYet,
}

/// Why a map did not get its disk.
#[derive(Debug, Error)]
pub enum SwapError {
    /// The devices or maps cannot be read.
    #[error(transparent)]
    Look(#[from] LookError),
    /// The map was not changed.
    #[error("cannot change the map")]
    Map(#[from] MapError),
    /// No disk carries the volume any more.
    #[error("no disk carries the volume now")]
    NoDisk,
    /// It was let go, and never holds again.
    #[error("the map {map} was let go: it has to be made anew")]
    LetGo {
        /// Which.
        map: MapId,
    },
}

impl<'a> Below<'a> {
    /// Of a volume that is held by a map, and whose namespace is known.
    pub(in crate::volume) fn of(record: &'a StageRecord) -> Option<Below<'a>> {
        let identity = record.identity()?;
        Some(Below {
            map: record.map()?,
            nqn: &record.source.nqn,
            identity,
            read_only: record.is_map_read_only(identity.read_only),
        })
    }
}

impl Holds {
    /// Makes the map if it is not there, and gives it its disk. Returns the map's own disk.
    pub(in crate::volume) fn make_map(&self, below: Below<'_>) -> Result<Option<Disk>, SwapError> {
        let locked = self.lock_map(below.map)?;
        let known = self.ground.read_map(below.map)?;
        if known.is_some_and(|map| !map.paths.is_empty()) {
            self.swap_locked(below, &locked)?;
        } else {
            self.ground.host().create_map(below.map)?;
            if self.swap_locked(below, &locked)? == Swapped::NoDisk {
                return Ok(None);
            }
        }
        let disk = self.ground.read_map(below.map)?.as_ref().map(Disk::of_map);
        if let Some(disk) = &disk {
            self.limit_dirty(disk);
        }
        Ok(disk)
    }

    /// Gives a map the disks that carry the volume now, and lets its I/O flow.
    pub(in crate::volume) fn swap(&self, below: Below<'_>) -> Result<Swapped, SwapError> {
        let locked = self.lock_map(below.map)?;
        self.swap_locked(below, &locked)
    }

    /// The same for whoever holds the lock of the map.
    pub(in crate::volume) fn swap_locked(
        &self,
        below: Below<'_>,
        _locked: &MapGuard<'_>,
    ) -> Result<Swapped, SwapError> {
        let map = below.map;
        let known = self.ground.read_map(map)?;
        let known = known.as_ref();
        if known.is_some_and(|known| known.is_let_go) {
            return Err(SwapError::LetGo { map });
        }
        if let Some(known) = known {
            self.queue_again(known)?;
        }
        if known.is_some_and(|known| known.has_inactive_table) {
            // Of a call that was cut off: nobody knows any more what it had proved.
            self.ground.host().clear_map(map)?;
        }
        let mut is_suspended = known.is_some_and(|known| known.suspended);
        if known.is_some_and(Map::passes_errors) {
            // Its I/O waits from now on, whatever becomes of its disk.
            match self.ground.host().suspend_map(map) {
                Ok(()) => is_suspended = true,
                Err(MapError::Waits { .. }) => return Ok(Swapped::NotYet),
                Err(error) => return Err(error.into()),
            }
        }
        let tree = self.ground.scan_subsystem(below.nqn);
        let disks = proved(&tree?, below, known);
        if disks.is_empty() {
            return Ok(Swapped::NoDisk);
        }
        if let Some(known) = known.filter(|known| !is_suspended && carries(known, &disks)) {
            return self.let_flow(known);
        }
        let table = table(&disks, below, OnPathLoss::Queue);
        match self.load_proved(below, known, &disks, &table) {
            Ok(true) => {}
            Ok(false) => return Ok(Swapped::NoDisk),
            Err(error) => {
                // Until its new disk can be had it is lost like any other.
                if let Some(known) = known.filter(|_| !is_suspended) {
                    self.suspend_refused(known);
                }
                return Err(error);
            }
        }
        if let Err(error) = self.ground.host().resume_map(map) {
            // The kernel leaves it suspended, with the table that it had. That one flows again if it did.
            if !is_suspended {
                self.resume_old(map);
            }
            return Err(error.into());
        }
        Ok(Swapped::Done)
    }

    /// Suspends a map that got no new disk, if its own are gone.
    fn suspend_refused(&self, known: &Map) {
        if let Err(error) = self.suspend_lost(known) {
            let (map, error) = (known.id, &error as &(dyn std::error::Error + 'static));
            tracing::warn!(%map, error, "a map without a path keeps a processor busy");
        }
    }

    /// Lets the I/O of a map flow again by the table that it has, after another was refused.
    pub(super) fn resume_old(&self, map: MapId) {
        if let Err(error) = self.ground.host().resume_map(map) {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::warn!(%map, error, "a map stays suspended until the next look");
        }
    }

    /// Loads a table over proved disks, and proves them again now that the map holds them open. False if they are
    /// not the same any more; then nothing is loaded.
    pub(super) fn load_proved(
        &self,
        below: Below<'_>,
        known: Option<&Map>,
        disks: &[Proved],
        table: &MapTable,
    ) -> Result<bool, SwapError> {
        self.ground.host().load_map(below.map, table)?;
        let again = self.ground.scan_subsystem(below.nqn);
        let same = again
            .as_ref()
            .is_ok_and(|tree| proved(tree, below, known) == disks);
        if !same {
            self.ground.host().clear_map(below.map)?;
            again?;
        }
        Ok(same)
    }

    /// The map lies over the right disks: I/O is sent again to those on which some failed.
    fn let_flow(&self, map: &Map) -> Result<Swapped, SwapError> {
        let mut done = Swapped::Already;
        let is_lost = map.usable_paths().next().is_none();
        for path in &map.paths {
            if path.state == Some(PathState::Failed) {
                self.ground.host().reinstate_path(map.id, path.dev)?;
                done = match is_lost {
                    true => Swapped::Reinstated,
                    false => Swapped::Done,
                };
            }
        }
        Ok(done)
    }
}

/// A disk that carries the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Proved {
    /// Its number, and by what another disk of that number is told from it.
    pub(super) dev: DevT,
    pub(super) diskseq: Option<Diskseq>,
    /// How much of the volume it and the others carry.
    carried_bytes: u64,
}

/// The disks that carry the volume whose map is this one.
pub(super) fn proved(tree: &Tree, below: Below<'_>, known: Option<&Map>) -> Vec<Proved> {
    let disks = find_usable(tree, below.nqn, below.identity, known);
    let carried_bytes = carried_bytes(&disks, below.identity.size_bytes);
    let number = |disk: &Namespace| {
        Some(Proved {
            dev: disk.dev?,
            diskseq: disk.diskseq,
            carried_bytes,
        })
    };
    disks.into_iter().filter_map(number).collect()
}

/// The table of a volume over these disks.
pub(super) fn table(disks: &[Proved], below: Below<'_>, on_path_loss: OnPathLoss) -> MapTable {
    let carried = disks.first().map(|disk| disk.carried_bytes);
    MapTable {
        devices: disks.iter().map(|disk| disk.dev).collect(),
        size_bytes: carried.unwrap_or(below.identity.size_bytes),
        read_only: below.read_only,
        on_path_loss,
    }
}

/// Whether the live table is over exactly these disks, and as long as what they carry of the volume.
pub(super) fn carries(map: &Map, disks: &[Proved]) -> bool {
    let is_carried = |disk: &Proved| {
        let is_as_long = map.size_bytes / 512 == disk.carried_bytes / 512;
        is_as_long && map.find_path(disk.dev).is_some()
    };
    map.paths.len() == disks.len() && disks.iter().all(is_carried)
}
