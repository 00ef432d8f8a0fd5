//! The tree of NVMe devices, kept current by one thread.
//!
//! [`Trees::watch`] scans sysfs after each uevent of a disk or controller, and every few seconds all
//! the same: a path that goes down emits no uevent. Whoever waits for a change waits here instead of
//! scanning on his own, so that sixty-four volumes that come up together cost one scan per change.
//!
//! Invariant: the scan of a snapshot that was waited for began after that of the one it was compared
//! with; a scan that fails changes nothing and is logged.

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
    /// How many scans of the watch had begun before this one.
    number: u64,
}

#[derive(Debug)]
struct Shared {
    sysfs: Sysfs,
    published: Mutex<Published>,
    changed: Condvar,
    /// The same for asynchronous code.
    numbers: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Published {
    tree: Arc<Tree>,
    /// Number of the scan that gave the tree, counted from 1.
    number: u64,
    /// How many scans have begun.
    begun: u64,
    closed: bool,
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

    /// Scans now, in the caller's thread: what the caller has just done is in it.
    ///
    /// # Errors
    /// [`ScanError`].
    pub fn scan(&self) -> Result<Snapshot, ScanError> {
        // Read first: a change after this moment is published under a higher number.
        let number = self.lock().begun;
        let tree = Arc::new(self.shared.sysfs.scan()?);
        Ok(Snapshot { tree, number })
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
        Some(Snapshot {
            tree: Arc::clone(&published.tree),
            number: published.number,
        })
    }

    /// Scans and publishes until [`Trees::close`], telling `seen` of each event. Needs a thread of
    /// its own.
    pub fn watch(&self, mut seen: impl FnMut(Seen)) {
        let mut events = Events::open();
        while !self.lock().closed {
            self.publish();
            events.wait(&mut seen);
        }
    }

    /// Is told of each tree that is published.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.numbers.subscribe()
    }

    /// Ends the watch, at the latest when the next scan is due.
    pub fn close(&self) {
        self.lock().closed = true;
    }

    fn publish(&self) {
        let number = self.begin();
        match self.shared.sysfs.scan() {
            Ok(tree) => {
                let mut published = self.lock();
                published.tree = Arc::new(tree);
                published.number = number;
                self.shared.changed.notify_all();
                drop(published);
                self.shared.numbers.send_replace(number);
            }
            Err(error) => {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::warn!(error, "cannot read the NVMe devices");
            }
        }
    }

    fn begin(&self) -> u64 {
        let mut published = self.lock();
        published.begun += 1;
        published.begun
    }

    fn lock(&self) -> MutexGuard<'_, Published> {
        // No code that can panic runs under the lock.
        let published = self.shared.published.lock();
        published.unwrap_or_else(PoisonError::into_inner)
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
            trees.publish();
            let newer = waiting.join().expect("no panic").expect("in time");
            assert_eq!(newer.subsystems.len(), 1);
        });
    }

    #[test]
    fn a_scan_that_began_before_a_snapshot_is_not_newer() {
        let root = empty_machine();
        let trees = Trees::of(Sysfs::at(root.path()));
        let number = trees.begin();
        let seen = trees.scan().expect("a tree");
        trees.lock().number = number;
        assert!(trees.wait_newer(&seen, Instant::now()).is_none());
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
    fn a_scan_that_fails_publishes_nothing() {
        let root = empty_machine();
        let trees = Trees::of(Sysfs::at(root.path().join("nowhere")));
        trees.publish();
        assert_eq!(trees.lock().number, 0);
        assert!(trees.scan().is_err());
    }
}
