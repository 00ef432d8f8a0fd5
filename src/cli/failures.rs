//! What fails of several things that are done whatever becomes of the others.
//!
//! Invariant: the first failure is the verb's, and each of the others is in the log.

use std::error::Error;

use super::exit::chain;

/// The failures so far.
#[derive(Debug)]
pub(super) struct Failures<E> {
    first: Option<E>,
}

impl<E: Error + 'static> Failures<E> {
    /// None yet.
    pub(super) fn none() -> Failures<E> {
        Failures { first: None }
    }

    /// One more.
    pub(super) fn add(&mut self, failure: E) {
        match self.first {
            None => self.first = Some(failure),
            Some(_) => tracing::error!(error = chain(&failure), "it failed, too"),
        }
    }

    /// What was done, if nothing failed.
    ///
    /// # Errors
    /// The first failure.
    pub(super) fn or<T>(self, done: T) -> Result<T, E> {
        self.first.map_or(Ok(done), Err)
    }
}
