//! Locks by name: one per volume, taken or refused; one per subsystem, waited for.
//!
//! Invariant: a name is locked exactly as long as its guard lives, whichever thread drops it.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The names that are locked.
#[derive(Debug)]
pub(super) struct Locks<K> {
    held: Mutex<BTreeSet<K>>,
    released: Condvar,
}

/// Holds one name until it is dropped.
#[derive(Debug)]
pub(super) struct Guard<'a, K: Ord> {
    locks: &'a Locks<K>,
    name: K,
}

impl<K> Default for Locks<K> {
    fn default() -> Locks<K> {
        Locks {
            held: Mutex::default(),
            released: Condvar::new(),
        }
    }
}

impl<K: Ord + Clone> Locks<K> {
    /// Locks `name`, or says that it is locked.
    pub(super) fn try_lock(&self, name: &K) -> Option<Guard<'_, K>> {
        let taken = self.names().insert(name.clone());
        taken.then(|| self.guard(name))
    }

    /// Locks `name` as soon as it is free.
    pub(super) fn lock(&self, name: &K) -> Guard<'_, K> {
        let mut held = self.names();
        while !held.insert(name.clone()) {
            held = self
                .released
                .wait(held)
                .unwrap_or_else(PoisonError::into_inner);
        }
        self.guard(name)
    }

    /// Whether `name` is locked now.
    pub(super) fn is_locked(&self, name: &K) -> bool {
        self.names().contains(name)
    }

    fn guard(&self, name: &K) -> Guard<'_, K> {
        Guard {
            locks: self,
            name: name.clone(),
        }
    }
}

impl<K> Locks<K> {
    fn names(&self) -> MutexGuard<'_, BTreeSet<K>> {
        // A set of names is whole whatever happened to the thread that held the lock.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Ord> Drop for Guard<'_, K> {
    fn drop(&mut self) {
        self.locks.names().remove(&self.name);
        self.locks.released.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn a_locked_name_is_refused_until_its_guard_is_dropped() {
        let locks = Locks::default();
        let guard = locks.try_lock(&"a").expect("free");
        assert!(locks.try_lock(&"a").is_none());
        assert!(locks.try_lock(&"b").is_some());
        drop(guard);
        assert!(locks.try_lock(&"a").is_some());
    }

    #[test]
    fn whoever_waits_gets_the_name_when_it_is_released() {
        let locks = Locks::default();
        let (send, receive) = mpsc::channel();
        thread::scope(|scope| {
            let guard = locks.lock(&"a");
            let sender = send.clone();
            let locks = &locks;
            scope.spawn(move || {
                let _guard = locks.lock(&"a");
                sender.send("second").expect("a receiver");
            });
            send.send("first").expect("a receiver");
            drop(guard);
        });
        let order: Vec<_> = receive.try_iter().collect();
        assert_eq!(order, ["first", "second"]);
    }
}
