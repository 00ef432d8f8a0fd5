//! The tree of NVMe devices, kept current by one thread.
//!
//! [`Trees::watch`] scans sysfs after each uevent of a disk or controller, and every few seconds all
//! the same: a path that goes down emits no uevent. Whoever waits for a change waits here instead of
//! scanning on his own. One scan runs at a time, and all who asked before it began share its tree:
//! each costs hundreds of system calls per volume, and sixty-four volumes may come up together.
//!
//! Invariants: scans are numbered in the order in which they begin, and end in it; whoever gets a
//! snapshot gets one whose scan began after he asked, or after that of the one he has. A scan that
//! fails changes nothing.

mod events;

use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use nvme_sysfs::{ScanError, Sysfs, Tree};
use tokio::sync::watch;

use events::Events;
pub use events::Seen;

/// Hands out snapshots of the tree. Clones share them.
#[derive(Debug, Clone)]
pub struct Trees {
    shared: Arc<Shared>,
}

/// The tree at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    tree: Arc<Tree>,
    /// Number of its scan.
    number: u64,
}

#[derive(Debug)]
struct Shared {
    sysfs: Sysfs,
    published: Mutex<Published>,
    changed: Condvar,
    /// Tells asynchronous code of what the watch has seen.
    numbers: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Published {
    tree: Arc<Tree>,
    /// Number of the scan that gave the tree, counted from 1.
    number: u64,
    /// How many scans have begun.
    begun: u64,
    is_scanning: bool,
    closed: bool,
}

/// A scan that runs; no other begins before this is dropped.
#[derive(Debug)]
struct Scanning<'a> {
    trees: &'a Trees,
    number: u64,
}

impl Deref for Snapshot {
    type Target = Tree;

    fn deref(&self) -> &Tree {
        &self.tree
    }
}

impl Trees {
    /// Snapshots of this sysfs. Nothing is published before [`Trees::watch`] runs.
    #[must_use]
    pub fn of(sysfs: Sysfs) -> Trees {
        Trees {
            shared: Arc::new(Shared {
                sysfs,
                published: Mutex::default(),
                changed: Condvar::new(),
                numbers: watch::Sender::new(0),
            }),
        }
    }

    /// The tree by a scan that begins now: what the caller has just done is in it.
    ///
    /// # Errors
    /// [`ScanError`].
    pub fn scan(&self) -> Result<Snapshot, ScanError> {
        let mut published = self.lock();
        let asked = published.begun;
        loop {
            if published.number > asked {
                return Ok(published.snapshot());
            }
            if !published.is_scanning {
                break;
            }
            published = self.wait(published);
        }
        let scanning = self.begin(published);
        let tree = self.shared.sysfs.scan()?;
        Ok(scanning.end(tree))
    }

    /// Waits for a tree that is newer than `seen`; `None` when the deadline has passed.
    #[must_use]
    pub fn wait_newer(&self, seen: &Snapshot, deadline: Instant) -> Option<Snapshot> {
        let mut published = self.lock();
        while published.number <= seen.number {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let waited = self.shared.changed.wait_timeout(published, left);
            (published, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        Some(published.snapshot())
    }

    /// Scans and publishes until [`Trees::close`], telling `seen` of each event. Needs a thread of
    /// its own.
    pub fn watch(&self, mut seen: impl FnMut(Seen)) {
        let mut events = Events::open();
        while !self.lock().closed {
            match self.scan() {
                Ok(snapshot) => drop(self.shared.numbers.send_replace(snapshot.number)),
                Err(error) => {
                    let error: &(dyn std::error::Error + 'static) = &error;
                    tracing::warn!(error, "cannot read the NVMe devices");
                }
            }
            events.wait(&mut seen);
        }
    }

    /// Is told when the watch has scanned: after each event, and every few seconds.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.numbers.subscribe()
    }

    /// Ends the watch, at the latest when the next scan is due.
    pub fn close(&self) {
        self.lock().closed = true;
    }

    fn begin(&self, mut published: MutexGuard<'_, Published>) -> Scanning<'_> {
        published.is_scanning = true;
        published.begun += 1;
        Scanning {
            trees: self,
            number: published.begun,
        }
    }

    fn wait<'a>(&self, published: MutexGuard<'a, Published>) -> MutexGuard<'a, Published> {
        let published = self.shared.changed.wait(published);
        published.unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Published> {
        // No code that can panic runs under the lock.
        let published = self.shared.published.lock();
        published.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Published {
    fn snapshot(&self) -> Snapshot {
        Snapshot {
            tree: Arc::clone(&self.tree),
            number: self.number,
        }
    }
}

impl Scanning<'_> {
    fn end(self, tree: Tree) -> Snapshot {
        let mut published = self.trees.lock();
        published.tree = Arc::new(tree);
        published.number = self.number;
        published.snapshot()
    }
}

impl Drop for Scanning<'_> {
    /// After a failure too: the next of those who wait scans for himself.
    fn drop(&mut self) {
        self.trees.lock().is_scanning = false;
        self.trees.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::thread;
    use std::time::Duration;

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
    fn who_asks_during_a_scan_gets_the_tree_of_a_later_one() {
        let root = empty_machine();
        let trees = Trees::of(Sysfs::at(root.path()));
        let scanning = trees.begin(trees.lock());
        let before = scanning.trees.shared.sysfs.scan().expect("a tree");
        add_subsystem(root.path());
        thread::scope(|scope| {
            let asked: Vec<_> = (0..8).map(|_| scope.spawn(|| trees.scan())).collect();
            assert!(scanning.end(before).subsystems.is_empty());
            for asked in asked {
                let tree = asked.join().expect("no panic").expect("a tree");
                assert_eq!((tree.subsystems.len(), tree.number > 1), (1, true));
            }
        });
    }

    #[test]
    fn a_tree_that_is_not_newer_is_not_waited_for_twice() {
        let root = empty_machine();
        let trees = Trees::of(Sysfs::at(root.path()));
        let seen = trees.scan().expect("a tree");
        let newer = trees.scan().expect("a tree");
        assert_eq!((seen.number, newer.number), (1, 2));
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
            assert_eq!(trees.lock().number, 0);
        }
    }
}
