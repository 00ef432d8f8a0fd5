//! Calls that wait for each other: they are answered when as many as were expected have begun.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// Longer than any machine takes to begin them all.
const LONG: Duration = Duration::from_secs(60);

/// Where they meet; one that nobody expects is let through.
#[derive(Debug, Default)]
pub(crate) struct Meeting {
    missing: Mutex<usize>,
    complete: Condvar,
}

impl Meeting {
    pub(crate) fn expect(&self, number: usize) {
        *self.missing.lock().expect("nobody panics") = number;
    }

    pub(crate) fn come(&self) {
        let mut missing = self.missing.lock().expect("nobody panics");
        *missing = missing.saturating_sub(1);
        self.complete.notify_all();
        let met = self
            .complete
            .wait_timeout_while(missing, LONG, |missing| *missing > 0);
        let (missing, waited) = met.expect("nobody panics");
        // Whoever held the lock while it panicked would hide this from the others.
        drop(missing);
        assert!(!waited.timed_out(), "the others did not begin");
    }
}
