//! Letting the errors of a map whose disks are well reach their callers.
//!
//! An NVMe target answers a read of a bad block with an internal error, which to dm-multipath is an error of the path
//! (`noretry_error` in drivers/md/dm-mpath.c knows better only of a medium error): the path fails, and all I/O of the
//! volume waits behind one block. For a moment the map gets a table that knows no paths, `linear` over the proved
//! disk. What waits goes down, each request by itself, and the error of the bad one reaches its caller alone.
//!
//! A map that was `multipath` takes no other target unless the table has an `error` target as well. That lies behind the
//! end of the volume, so that the disk of the map is 64 KiB longer for that moment; nobody can read or write there.
//!
//! What this does not promise: a loss of the last path that falls into that moment, from the resume of the `linear`
//! table to the suspend right after what waited was sent, fails the requests that are below the map just then, as it
//! would on a bare disk. The moment is some tens of milliseconds on a target that answers, never longer than
//! [`LONGEST`] by our own waiting, and at most once a second. What comes later is held as ever.
//!
//! Invariants: only where the live controllers were seen *after* every path had failed, and the disk was read just
//! then: a loss is never taken for a bad block. No table without a proof, and none with another namespace.

use std::thread::park_timeout;
use std::time::{Duration, Instant};

use super::super::identity::Disk;
use super::super::volume_id::VolumeId;
use super::holds::{Holds, MapGuard};
use super::keep::KeepError;
use super::map::{Below, Proved, SwapError, Swapped, carries, proved, table};
use crate::host::MapError;
use crate::host::dm::{Map, OnPathLoss};
use crate::host::io_counts::{IoCounts, read_io_counts};

/// For how long a volume counts as one with bad blocks after the last error was let through.
pub const MEDIA_ERRORS_LAST: Duration = Duration::from_secs(60);
/// Until what waited must have been sent.
const LONGEST: Duration = Duration::from_secs(2);
/// Not sooner than this where nothing is known to wait: the kernel sends from a thread of its own.
const SHORTEST: Duration = Duration::from_millis(20);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// What waited was sent, the errors have reached their callers, and the map holds again.
    Done,
    /// The same, but something is still under way below the map: it holds again once that has ended.
    NotYet,
    /// It is no matter of a bad block: a path is in use, the disk serves nothing, or no disk is proved.
    NotNeeded,
}

impl Holds {
    /// Lets all that waits in the map of a volume go to its disk, errors included, if I/O has failed on every path
    /// though the disk serves reads.
    ///
    /// # Errors
    /// [`KeepError`]. The map is then suspended or as it was; the next look brings it back.
    pub fn pass_errors(&self, id: &VolumeId) -> Result<Passed, KeepError> {
        // Not under the lock: it may have to wait for the disk.
        let Some(asked) = self.find_failed(id)? else {
            return Ok(Passed::NotNeeded);
        };
        if !self.ground.host().serves(&self.ground.node(&asked)) {
            return Ok(Passed::NotNeeded);
        }
        let Some((locked, record)) = self.lock_wanted(id)? else {
            return Ok(Passed::NotNeeded);
        };
        if self.find_failed(id)?.as_ref() != Some(&asked) {
            return Ok(Passed::NotNeeded);
        }
        let Some(below) = Below::of(&record) else {
            return Ok(Passed::NotNeeded);
        };
        let passed = self.pass_locked(below, &asked, &locked)?;
        if passed != Passed::NotNeeded {
            self.media_errors().insert(id.clone(), Instant::now());
        }
        Ok(passed)
    }

    /// The disk of a map on all of whose paths I/O has failed, though they lead to the volume.
    fn find_failed(&self, id: &VolumeId) -> Result<Option<Disk>, KeepError> {
        let Some(record) = self.ground.find_wanted(id)? else {
            return Ok(None);
        };
        let Some(below) = Below::of(&record) else {
            return Ok(None);
        };
        // In this order: controllers that are live after the paths have failed did not fail them.
        let known = self.ground.read_map(below.map)?;
        let tree = self.ground.scan_subsystem(below.nqn)?;
        let disks = proved(&tree, below, known.as_ref());
        if !known.is_some_and(|known| has_failed(&known, &disks)) {
            return Ok(None);
        }
        let first = disks.first().map(|disk| disk.dev);
        let disk = first.and_then(|dev| tree.find_namespace_by_dev(dev));
        Ok(disk.and_then(Disk::of))
    }

    fn pass_locked(
        &self,
        below: Below<'_>,
        asked: &Disk,
        locked: &MapGuard<'_>,
    ) -> Result<Passed, SwapError> {
        let map = below.map;
        let Some(known) = self.ground.read_map(map)? else {
            return Ok(Passed::NotNeeded);
        };
        let waiting = self.count(&known).under_way;
        match self.ground.host().suspend_map(map) {
            Ok(()) => {}
            Err(MapError::Waits { .. }) => return Ok(Passed::NotNeeded),
            Err(error) => return Err(error.into()),
        }
        let before = self.count(&known);
        if !self.load_passing(below, &known, asked)? {
            return Ok(Passed::NotNeeded);
        }
        self.ground.host().resume_map(map)?;
        self.wait_until_sent(&known, before, waiting);
        match self.swap_locked(below, locked)? {
            Swapped::NotYet => Ok(Passed::NotYet),
            _ => Ok(Passed::Done),
        }
    }

    /// Gives the suspended map the table that hands errors up. Where there is no proof it stays suspended.
    fn load_passing(&self, below: Below<'_>, known: &Map, asked: &Disk) -> Result<bool, SwapError> {
        let tree = self.ground.scan_subsystem(below.nqn);
        let disks = proved(&tree?, below, Some(known));
        let is_asked = |disk: &Proved| disk.dev == asked.dev && disk.diskseq == asked.diskseq();
        if !disks.first().is_some_and(is_asked) {
            return Ok(false);
        }
        let table = table(&disks, below, OnPathLoss::Pass);
        let loaded = self.load_proved(below, Some(known), &disks, &table);
        if loaded.is_err() {
            self.resume_old(below.map);
        }
        loaded
    }

    /// Waits until the map has sent down as much as waited in it. What comes meanwhile counts as well: if a request
    /// was overtaken by that, its path fails once more, and it is its turn a second later.
    fn wait_until_sent(&self, map: &Map, before: IoCounts, waiting: u64) {
        let began = Instant::now();
        loop {
            park_timeout(LOOK);
            let sent = self.count(map).taken().saturating_sub(before.taken());
            let waited = began.elapsed();
            if waited >= LONGEST || waited >= SHORTEST && sent >= waiting {
                return;
            }
        }
    }

    fn count(&self, map: &Map) -> IoCounts {
        match read_io_counts(&self.ground.config.root, &map.disk) {
            Ok(counts) => counts,
            Err(error) => {
                let disk = &map.disk;
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::debug!(disk, error, "what a map sends is not known");
                IoCounts::default()
            }
        }
    }
}

/// Whether a map queues, lies over exactly these disks, and I/O has failed on all of them.
fn has_failed(map: &Map, disks: &[Proved]) -> bool {
    let queues = map.on_path_loss == Some(OnPathLoss::Queue);
    let is_whole = queues && !map.is_let_go && !map.suspended && !map.has_inactive_table;
    let has_failed = !disks.is_empty() && map.usable_paths().next().is_none();
    is_whole && has_failed && carries(map, disks)
}
