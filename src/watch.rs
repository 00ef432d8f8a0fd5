//! The tree of NVMe devices, kept current by one thread.
//!
//! [`Trees::watch`] scans sysfs after each uevent of a disk or controller, and every few seconds all
//! the same: a path that goes down emits no uevent. Whoever waits for a change waits here instead of
//! scanning on his own, and whoever scans shares the tree with all who asked before he began.

mod events;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nvme_sysfs::{
    Controller, Nqn, ScanError, Subsystem, Sysfs, Transport, Tree, UeventSocket, Unknown,
};
use tokio::sync::watch;

use events::Events;
pub use events::Seen;

use crate::causes::chain;
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
    concern: Mutex<Concern>,
}

/// Whose devices must be known to the last attribute: those of these subsystems.
#[derive(Debug, Default)]
struct Concern {
    /// Of what is staged; everybody's where that is not known.
    staged: Option<BTreeSet<Nqn>>,
    /// Of operations under way, and how many.
    under_way: BTreeMap<Nqn, usize>,
    /// Of operations that have ended since it was last found what is staged, each with how many had by then.
    ended: BTreeMap<Nqn, u64>,
    /// How many operations have ended.
    ends: u64,
    /// How many had when the last finding began.
    found_at: u64,
}

/// A subsystem is of concern until this is dropped, and from then on until it is found what is staged.
#[derive(Debug)]
#[must_use = "it is of concern for as long as this lives"]
pub struct Concerned {
    trees: Trees,
    nqn: Nqn,
}

impl Drop for Concerned {
    fn drop(&mut self) {
        let mut concern = self.trees.lock_concern();
        if let Some(count) = concern.under_way.get_mut(&self.nqn) {
            *count -= 1;
            if *count == 0 {
                concern.under_way.remove(&self.nqn);
            }
        }
        // What it has recorded was not found yet.
        concern.ends += 1;
        let ends = concern.ends;
        concern.ended.insert(self.nqn.clone(), ends);
        if let Some(nqns) = &mut concern.staged {
            nqns.insert(self.nqn.clone());
        }
    }
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
                concern: Mutex::default(),
            }),
        }
    }

    /// From now on an attribute that cannot be read keeps a tree from being handed out only where it is of one of these
    /// subsystems, or may be, or of one that is of concern already.
    pub fn concern_only(&self, nqns: impl IntoIterator<Item = Nqn>) {
        self.lock_concern().staged = Some(nqns.into_iter().collect());
    }

    /// The same for what `read` finds to be staged; where it does not find all of it, what was of concern stays so. What
    /// operations that end meanwhile have recorded it may miss: that stays of concern, too.
    pub(crate) fn concern_found<T>(
        &self,
        read: impl FnOnce() -> T,
        all: impl FnOnce(&T) -> Option<BTreeSet<Nqn>>,
    ) -> T {
        let began_at = self.lock_concern().ends;
        // Not under the lock: the records may be on a disk that does not answer.
        let found = read();
        let mut concern = self.lock_concern();
        if let Some(mut nqns) = all(&found).filter(|_| began_at >= concern.found_at) {
            concern.found_at = began_at;
            concern.ended.retain(|_, at| *at > began_at);
            nqns.extend(concern.ended.keys().cloned());
            concern.staged = Some(nqns);
        }
        found
    }

    /// The same for one subsystem more, as long as the answer says: for an operation that is not recorded yet, or not any
    /// more.
    pub fn concern(&self, nqn: &Nqn) -> Concerned {
        let mut concern = self.lock_concern();
        *concern.under_way.entry(nqn.clone()).or_default() += 1;
        Concerned {
            trees: self.clone(),
            nqn: nqn.clone(),
        }
    }

    fn lock_concern(&self) -> MutexGuard<'_, Concern> {
        let concern = self.kept.concern.lock();
        concern.unwrap_or_else(PoisonError::into_inner)
    }

    /// The tree by a scan that begins now: what the caller has just done is in it.
    ///
    /// # Errors
    /// [`ScanError`].
    pub fn scan(&self) -> Result<Snapshot, ScanError> {
        self.kept
            .tree
            .read(|| known(self.kept.sysfs.scan()?, &self.lock_concern()))
    }

    /// Only the subsystems of this name, by a scan of their own.
    ///
    /// # Errors
    /// [`ScanError`].
    pub fn scan_subsystem(&self, nqn: &Nqn) -> Result<Tree, ScanError> {
        known(self.kept.sysfs.scan_subsystem(nqn)?, &Concern::default())
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
        let (mut told, mut failed) = (BTreeSet::new(), None);
        while !self.kept.closed.load(Ordering::Relaxed) {
            let began = Instant::now();
            match self.scan() {
                Ok(snapshot) => {
                    failed = None;
                    for unknown in find_news(&snapshot, &mut told) {
                        tracing::warn!(%unknown, "what depends on it is not known");
                    }
                    self.kept.numbers.send_replace(snapshot.number());
                }
                Err(error) => {
                    let error = chain(&error);
                    if failed.as_ref() != Some(&error) {
                        tracing::warn!(error, "cannot read the NVMe devices");
                    }
                    failed = Some(error);
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

/// Refuses a tree in which something is unknown that may concern a volume: nothing is taken away by it, and nothing judged.
fn known(tree: Tree, concern: &Concern) -> Result<Tree, ScanError> {
    let doubt = find_doubt(&tree, concern).cloned();
    doubt.map_or(Ok(tree), |doubt| Err(doubt.into()))
}

fn find_doubt<'a>(tree: &'a Tree, concern: &Concern) -> Option<&'a Unknown> {
    let subsystems = tree.subsystems.iter().filter(|it| !is_others(it, concern));
    let is_others = |it: &Controller| is_local(it) || concern.knows_others(it);
    let unattached = tree.unattached.iter().filter(|it| !is_others(it));
    let doubts = subsystems.flat_map(Subsystem::doubts);
    let doubts = doubts.chain(unattached.flat_map(Controller::doubts));
    let mut doubts = tree.unknown.iter().chain(doubts);
    doubts.find(|unknown| unknown.matters())
}

impl Concern {
    fn has(&self, nqn: &Nqn) -> bool {
        let is_staged = |nqns: &BTreeSet<Nqn>| nqns.contains(nqn);
        self.staged.as_ref().is_none_or(is_staged) || self.under_way.contains_key(nqn)
    }

    /// Whether a name is another one than those of concern. One that is no NQN is no volume's; one that is not known may
    /// be any.
    fn is_another(&self, nqn: Option<&Nqn>, text: &str) -> bool {
        match nqn {
            Some(nqn) => !self.has(nqn),
            None => self.staged.is_some() && !text.is_empty(),
        }
    }

    /// Whether a controller that is part of no subsystem yet will be of one with another name.
    fn knows_others(&self, controller: &Controller) -> bool {
        let text = controller.subsysnqn_text.as_deref();
        self.is_another(controller.subsysnqn.as_ref(), text.unwrap_or_default())
    }
}

/// Whether a subsystem is a drive of this machine, or has another name than those of concern. Its disks must be known by
/// their numbers all the same, and every one of them, so that none can be the one that is looked for.
fn is_others(subsystem: &Subsystem, concern: &Concern) -> bool {
    let (controllers, disks) = (&subsystem.controllers, &subsystem.namespaces);
    let is_drive = !controllers.is_empty() && controllers.iter().all(is_local);
    let has_another_name = concern.is_another(subsystem.nqn.as_ref(), &subsystem.nqn_text);
    let of_controllers = controllers.iter().flat_map(|it| &it.unknown);
    let mut listings = subsystem.unknown.iter().chain(of_controllers);
    (is_drive || has_another_name)
        && disks.iter().all(|disk| disk.dev.is_some())
        && !listings.any(Unknown::hides_entries)
}

fn is_local(controller: &Controller) -> bool {
    controller.transport == Transport::Pcie
}

/// What could not be read and was not told yet. What can be read again may be told again.
fn find_news(tree: &Tree, told: &mut BTreeSet<Unknown>) -> Vec<Unknown> {
    let now: BTreeSet<Unknown> = tree.unknown().cloned().collect();
    let news = now.difference(told).cloned().collect();
    *told = now;
    news
}

/// A scan answers all events that came before it, so those that come meanwhile lose nothing by waiting; on a
/// slow machine the devices they are about get the processor.
fn rest_after(scan: Duration) -> Duration {
    match scan > SLOW {
        true => scan.min(LONGEST_REST),
        false => Duration::ZERO,
    }
}
