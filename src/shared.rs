//! What many ask for at once and one reads: the tree of devices, the whole sight of a node.
//!
//! Reading costs hundreds of system calls and as many allocations per volume, and sixty-four volumes
//! may come up together. So one reads at a time, and all who asked before he began share what he got.
//!
//! Invariants: readings are numbered in the order in which they begin, and end in it; whoever gets
//! one gets one that began after he asked. A reading that fails changes nothing.

use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What is read by one and shared by all who asked meanwhile.
#[derive(Debug)]
pub(crate) struct Shared<T> {
    published: Mutex<Published<T>>,
    changed: Condvar,
}

/// What was there at one moment. Clones share it.
#[derive(Debug)]
pub struct Reading<T> {
    value: Arc<T>,
    number: u64,
}

#[derive(Debug)]
struct Published<T> {
    last: Option<Reading<T>>,
    /// How many readings have begun.
    begun: u64,
    is_being_read: bool,
}

/// A reading that goes on; no other begins before this is dropped.
#[derive(Debug)]
struct Turn<'a, T> {
    shared: &'a Shared<T>,
    number: u64,
}

impl<T> Clone for Reading<T> {
    fn clone(&self) -> Self {
        Reading {
            value: Arc::clone(&self.value),
            number: self.number,
        }
    }
}

impl<T> Deref for Reading<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Reading<T> {
    /// Which one it is, counted from 1.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

impl<T> Default for Shared<T> {
    /// Nothing has been read yet.
    fn default() -> Self {
        let published = Published {
            last: None,
            begun: 0,
            is_being_read: false,
        };
        Shared {
            published: Mutex::new(published),
            changed: Condvar::new(),
        }
    }
}

impl<T> Shared<T> {
    /// What a reading gives that begins now: what the caller has just done is in it.
    pub(crate) fn read<E>(&self, read: impl FnOnce() -> Result<T, E>) -> Result<Reading<T>, E> {
        let mut published = self.lock();
        let asked = published.begun;
        while published.is_being_read {
            published = self.wait(published);
            if let Some(last) = published.newer_than(asked) {
                return Ok(last);
            }
        }
        let turn = self.begin(published);
        let value = read()?;
        Ok(turn.end(value))
    }

    /// What the last reading gave that has ended, if one did.
    pub(crate) fn last(&self) -> Option<Reading<T>> {
        self.lock().last.clone()
    }

    /// Waits for one that is newer than `seen`; `None` when the deadline has passed.
    pub(crate) fn wait_newer(&self, seen: &Reading<T>, deadline: Instant) -> Option<Reading<T>> {
        let mut published = self.lock();
        loop {
            let newer = published.newer_than(seen.number);
            let left = deadline.saturating_duration_since(Instant::now());
            if newer.is_some() || left.is_zero() {
                return newer;
            }
            let waited = self.changed.wait_timeout(published, left);
            (published, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn begin(&self, mut published: MutexGuard<'_, Published<T>>) -> Turn<'_, T> {
        published.is_being_read = true;
        published.begun += 1;
        Turn {
            shared: self,
            number: published.begun,
        }
    }

    fn wait<'a>(&self, published: MutexGuard<'a, Published<T>>) -> MutexGuard<'a, Published<T>> {
        let published = self.changed.wait(published);
        published.unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Published<T>> {
        // No code that can panic runs under the lock.
        self.published
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Published<T> {
    fn newer_than(&self, number: u64) -> Option<Reading<T>> {
        let last = self.last.as_ref();
        last.filter(|last| last.number > number).cloned()
    }
}

impl<T> Turn<'_, T> {
    fn end(self, value: T) -> Reading<T> {
        let reading = Reading {
            value: Arc::new(value),
            number: self.number,
        };
        self.shared.lock().last = Some(reading.clone());
        reading
    }
}

impl<T> Drop for Turn<'_, T> {
    /// After a failure too: the next of those who wait reads for himself.
    fn drop(&mut self) {
        self.shared.lock().is_being_read = false;
        self.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::thread;

    use super::*;

    #[test]
    fn who_asks_during_a_reading_gets_what_a_later_one_reads_and_one_reads_for_all() {
        let shared = Shared::default();
        let turn = shared.begin(shared.lock());
        thread::scope(|scope| {
            let ask = || shared.read(|| Ok::<_, Infallible>("after"));
            let asked: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            assert_eq!(*turn.end("before"), "before");
            for asked in asked {
                let got = asked.join().expect("no panic").expect("a reading");
                assert_eq!((*got, got.number() > 1), ("after", true));
            }
        });
    }

    #[test]
    fn a_reading_that_fails_publishes_nothing_and_the_next_reads_for_himself() {
        let shared = Shared::default();
        assert_eq!(
            shared.read(|| Err("broken")).map(|_: Reading<u8>| ()),
            Err("broken")
        );
        assert!(shared.lock().last.is_none());
        let read = shared.read(|| Ok::<_, Infallible>(7)).expect("a reading");
        assert_eq!((*read, read.number()), (7, 2));
    }
}
