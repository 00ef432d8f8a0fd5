//! The tree of NVMe devices, kept current by one thread.
//!
//! [`Trees::watch`] scans sysfs after each uevent of a disk or controller, and every few seconds all
//! the same: a path that goes down emits no uevent. Whoever waits for a change waits here instead of
//! scanning on his own, and whoever scans shares the tree with all who asked before he began.

mod events;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nvme_sysfs::{Nqn, ScanError, Sysfs, Tree, UeventSocket, Unknown};
use tokio::sync::watch;

use events::Events;
pub use events::Seen;

use crate::shared::{Reading, Shared};

/// A scan that takes longer than this is rested from for as long as it took.
const SLOW: Duration = Duration::from_millis(100);
/// And no longer than this.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// Hands out snapshots of the tree. Clones share them.
#[derive(Debug, Clone)]
pub struct Trees {
    kept: Arc<Kept>,
}

/// The tree at one moment.
pub type Snapshot = Reading<Tree>;

#[derive(Debug)]
struct Kept {
    sysfs: Sysfs,
    tree: Shared<Tree>,
    closed: AtomicBool,
    /// Tells asynchronous code of what the watch has seen.
    numbers: watch::Sender<u64>,
}

impl Trees {
    /// Snapshots of this sysfs. Nothing is published before [`Trees::watch`] runs.
    #[must_use]
    pub fn of(sysfs: Sysfs) -> Trees {
        Trees {
            kept: Arc::new(Kept {
                sysfs,
                tree: Shared::default(),
                closed: AtomicBool::new(false),
                numbers: watch::Sender::new(0),
            }),
        }
    }

    /// The tree by a scan that begins now: what the caller has just done is in it.
    ///
    /// # Errors
    /// [`ScanError`].
    pub fn scan(&self) -> Result<Snapshot, ScanError> {
        self.kept.tree.read(|| known(self.kept.sysfs.scan()?))
    }

    /// Only the subsystems of this name, by a scan of their own.
    ///
    /// # Errors
    /// [`ScanError`].
    pub fn scan_subsystem(&self, nqn: &Nqn) -> Result<Tree, ScanError> {
        known(self.kept.sysfs.scan_subsystem(nqn)?)
    }

    /// The newest tree that there is, without a scan.
    #[must_use]
    pub fn last(&self) -> Option<Snapshot> {
        self.kept.tree.last()
    }

    /// Waits for a tree that is newer than `seen`; `None` when the deadline has passed.
    #[must_use]
    pub fn wait_newer(&self, seen: &Snapshot, deadline: Instant) -> Option<Snapshot> {
        self.kept.tree.wait_newer(seen, deadline)
    }

    /// Scans and publishes until [`Trees::close`], telling `seen` of each event. Needs a thread of
    /// its own.
    pub fn watch(&self, seen: impl FnMut(Seen)) {
        self.follow(Events::open(), seen);
    }

    /// The same with events from a socket of the caller's, which may repeat what was captured.
    pub fn watch_on(&self, socket: UeventSocket, seen: impl FnMut(Seen)) {
        self.follow(Events::of(socket), seen);
    }

    fn follow(&self, mut events: Events, mut seen: impl FnMut(Seen)) {
        let mut told = BTreeSet::new();
        while !self.kept.closed.load(Ordering::Relaxed) {
            let began = Instant::now();
            match self.scan() {
                Ok(snapshot) => {
                    told = tell_unknown(&snapshot, &told);
                    self.kept.numbers.send_replace(snapshot.number());
                }
                Err(error) => {
                    let error: &(dyn std::error::Error + 'static) = &error;
                    tracing::warn!(error, "cannot read the NVMe devices");
                }
            }
            let rested = Instant::now() + rest_after(began.elapsed());
            events.wait(rested, &mut seen);
        }
    }

    /// Is told when the watch has scanned: after each event, and every few seconds.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.kept.numbers.subscribe()
    }

    /// Ends the watch, at the latest when the next scan is due.
    pub fn close(&self) {
        self.kept.closed.store(true, Ordering::Relaxed);
    }
}

/// Refuses a tree of which something is unknown that matters: nothing is taken away by it, and nothing judged.
fn known(tree: Tree) -> Result<Tree, ScanError> {
    let doubt = tree.unknown().find(|unknown| unknown.matters()).cloned();
    doubt.map_or(Ok(tree), |doubt| Err(doubt.into()))
}

/// Tells of what could not be read, each once for as long as it stays so. Returns all of it.
fn tell_unknown(tree: &Tree, told: &BTreeSet<Unknown>) -> BTreeSet<Unknown> {
    let now: BTreeSet<Unknown> = tree.unknown().cloned().collect();
    for unknown in now.difference(told) {
        tracing::warn!(%unknown, "what depends on it is not known");
    }
    now
}

/// A scan answers all events that came before it, so those that come meanwhile lose nothing by waiting; on a
/// slow machine the devices they are about get the processor.
fn rest_after(scan: Duration) -> Duration {
    match scan > SLOW {
        true => scan.min(LONGEST_REST),
        false => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::thread;

    use super::*;

    fn empty_machine() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(root.path().join("sys/class/nvme-subsystem")).expect("directories");
        root
    }

    fn add_subsystem(root: &Path) {
        let directory = root.join("sys/class/nvme-subsystem/nvme-subsys0");
        fs::create_dir_all(&directory).expect("a directory");
        fs::write(directory.join("subsysnqn"), "nqn.2026-01.org.example:a\n").expect("a file");
    }

    #[test]
    fn without_a_watch_a_wait_ends_at_its_deadline() {
        let root = empty_machine();
        let trees = Trees::of(Sysfs::at(root.path()));
        let seen = trees.scan().expect("a tree");
        let deadline = Instant::now() + Duration::from_millis(10);
        assert!(trees.wait_newer(&seen, deadline).is_none());
        assert!(Instant::now() >= deadline);
    }

    #[test]
    fn a_change_is_published_to_whoever_waits() {
        let root = empty_machine();
        let trees = Trees::of(Sysfs::at(root.path()));
        let seen = trees.scan().expect("a tree");
        assert!(seen.subsystems.is_empty());
        add_subsystem(root.path());
        let deadline = Instant::now() + Duration::from_secs(60);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| trees.wait_newer(&seen, deadline));
            trees.scan().expect("a tree");
            let newer = waiting.join().expect("no panic").expect("in time");
            assert_eq!(newer.subsystems.len(), 1);
        });
    }

    #[test]
    fn a_tree_that_is_not_newer_is_not_waited_for_twice() {
        let root = empty_machine();
        let trees = Trees::of(Sysfs::at(root.path()));
        let seen = trees.scan().expect("a tree");
        let newer = trees.scan().expect("a tree");
        assert_eq!((seen.number(), newer.number()), (1, 2));
        assert_eq!(trees.last().map(|last| last.number()), Some(2));
        assert!(trees.wait_newer(&seen, Instant::now()).is_some());
        assert!(trees.wait_newer(&newer, Instant::now()).is_none());
    }

    #[test]
    fn a_watch_publishes_at_once_and_a_closed_one_ends() {
        let root = empty_machine();
        let trees = Trees::of(Sysfs::at(root.path()));
        let seen = trees.scan().expect("a tree");
        let watching = trees.clone();
        thread::spawn(move || watching.watch(|_| {}));
        let deadline = Instant::now() + Duration::from_secs(60);
        assert!(trees.wait_newer(&seen, deadline).is_some());
        trees.close();
        trees.watch(|_| {});
    }

    #[test]
    fn a_scan_that_fails_publishes_nothing_and_does_not_stop_the_next() {
        let root = empty_machine();
        let trees = Trees::of(Sysfs::at(root.path().join("nowhere")));
        for _ in 0..2 {
            assert!(trees.scan().is_err());
        }
    }
}
