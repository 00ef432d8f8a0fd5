//! Where everybody tells what happened: one line in the log, and a queue to whoever posts events.
//!
//! Invariant: telling never waits and never fails. Where the queue is full the newest is dropped:
//! what it would have said stands in the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::outcome::{Outcome, Severity};

/// How many outcomes wait for the API server: some for each of the volumes that a node may have.
const QUEUE: usize = 512;

/// Takes what is told. Clones tell the same.
#[derive(Debug, Clone)]
pub struct Reporter {
    queue: Option<mpsc::Sender<Outcome>>,
    /// Since the queue is full.
    dropped: Arc<AtomicU64>,
}

/// What was told and not yet posted.
#[derive(Debug)]
pub struct Outcomes(mpsc::Receiver<Outcome>);

impl Reporter {
    /// A reporter, and the other end of its queue.
    #[must_use]
    pub fn new() -> (Reporter, Outcomes) {
        let (queue, outcomes) = mpsc::channel(QUEUE);
        let reporter = Reporter {
            queue: Some(queue),
            ..Reporter::silent()
        };
        (reporter, Outcomes(outcomes))
    }

    /// One that only logs.
    #[must_use]
    pub fn silent() -> Reporter {
        Reporter {
            queue: None,
            dropped: Arc::default(),
        }
    }

    /// Logs what happened, and hands it on.
    pub fn tell(&self, outcome: Outcome) {
        let reason = outcome.reason.as_str();
        let (volume_id, message) = (&outcome.volume_id, &outcome.message);
        match outcome.reason.severity() {
            Severity::Warning => tracing::warn!(%volume_id, %reason, message, "volume"),
            Severity::Normal => tracing::info!(%volume_id, %reason, message, "volume"),
        }
        self.hand_on(outcome);
    }

    /// Hands on what its caller has logged.
    pub fn hand_on(&self, outcome: Outcome) {
        let Some(queue) = &self.queue else {
            return;
        };
        match queue.try_send(outcome) {
            Ok(()) => {
                let dropped = self.dropped.swap(0, Ordering::Relaxed);
                if dropped > 0 {
                    tracing::warn!(dropped, "events are posted again");
                }
            }
            Err(TrySendError::Full(_)) => {
                if self.dropped.fetch_add(1, Ordering::Relaxed) == 0 {
                    tracing::warn!("too many events wait for the API server: some are dropped");
                }
            }
            // The program ends.
            Err(TrySendError::Closed(_)) => {}
        }
    }

    /// How many were dropped since the queue is full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Outcomes {
    /// The next one; none when nobody can tell any more.
    pub async fn next(&mut self) -> Option<Outcome> {
        self.0.recv().await
    }
}
