//! Where everybody tells what happened: one line in the log, and a place in the queue of whoever posts
//! events.
//!
//! Invariant: telling never waits and never fails. What does not fit into the queue stands in the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::backlog::{Backlog, Told};
use super::metrics::{EventMetrics, Lost, Metrics};
use super::outcome::{Outcome, Severity};

/// How many volumes may have news at once; more than any node has volumes.
const MOST_NEWS: usize = 1024;

/// Takes what is told. Clones tell the same.
#[derive(Debug, Clone)]
pub struct Reporter {
    queue: Option<Arc<Teller>>,
}

/// What was told and not yet posted.
#[derive(Debug)]
pub struct Outcomes(Arc<Queue>);

/// Where a volume went, for whoever looks up its claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// It came here as the PersistentVolume of this name.
    Came(String),
    /// It is not here any more.
    Went,
}

/// The side of the queue that tells: when the last one is dropped, nobody can tell any more.
#[derive(Debug)]
struct Teller(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    changed: Notify,
    metrics: EventMetrics,
}

#[derive(Debug, Default)]
struct State {
    backlog: Backlog,
    /// Taken, and neither posted nor put back.
    in_hand: usize,
    news: BTreeMap<String, News>,
    /// Since the queue is full.
    dropped: u64,
    /// Nobody can tell any more.
    ended: bool,
    /// Nobody posts.
    refused: bool,
}

impl Reporter {
    /// A reporter, and the other end of its queue.
    #[must_use]
    pub fn new() -> (Reporter, Outcomes) {
        Reporter::with(EventMetrics::default())
    }

    /// The same, with what waits and what is dropped counted.
    #[must_use]
    pub fn counted(metrics: &Metrics) -> (Reporter, Outcomes) {
        Reporter::with(metrics.events().clone())
    }

    /// One that only logs.
    #[must_use]
    pub fn silent() -> Reporter {
        Reporter { queue: None }
    }

    fn with(metrics: EventMetrics) -> (Reporter, Outcomes) {
        let queue = Arc::new(Queue {
            metrics,
            ..Queue::default()
        });
        let teller = Arc::new(Teller(Arc::clone(&queue)));
        let reporter = Reporter {
            queue: Some(teller),
        };
        (reporter, Outcomes(queue))
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
        let Some(Teller(queue)) = self.queue.as_deref() else {
            return;
        };
        let dropped = queue.change(|state| {
            if state.refused {
                return None;
            }
            let dropped = state.backlog.push(outcome, Instant::now())?;
            state.dropped += 1;
            Some((dropped, state.dropped))
        });
        if let Some((Told { outcome, .. }, number)) = dropped {
            queue.metrics.lost(outcome.reason.as_str(), Lost::Full);
            if number == 1 {
                tracing::warn!("too many events wait for the API server: some are dropped");
            }
        }
    }

    /// A volume comes to this node as the PersistentVolume of this name: its claim is looked up now,
    /// so that nothing has to be looked up while the API server has trouble.
    pub fn came(&self, volume_id: &str, pv: &str) {
        self.note(volume_id, News::Came(pv.to_owned()));
    }

    /// A volume is not on this node any more.
    pub fn went(&self, volume_id: &str) {
        self.note(volume_id, News::Went);
    }

    fn note(&self, volume_id: &str, news: News) {
        let Some(Teller(queue)) = self.queue.as_deref() else {
            return;
        };
        queue.change(|state| {
            let has_room = state.news.len() < MOST_NEWS || state.news.contains_key(volume_id);
            if has_room && !state.refused {
                state.news.insert(volume_id.to_owned(), news);
            }
        });
    }

    /// How many were dropped since the queue is full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        let queue = self.queue.as_deref();
        queue.map_or(0, |Teller(queue)| queue.state().dropped)
    }
}

impl Outcomes {
    /// The next one; none when nobody can tell any more.
    pub async fn next(&mut self) -> Option<Outcome> {
        loop {
            if let Some(told) = self.take() {
                self.done();
                return Some(told.outcome);
            }
            self.take_news();
            if !self.wait().await {
                return None;
            }
        }
    }

    /// Waits until there is something to do; `false` once nobody can tell any more and nothing waits.
    pub(super) async fn wait(&self) -> bool {
        loop {
            let changed = self.0.changed.notified();
            {
                let state = self.0.state();
                if !state.backlog.is_empty() || !state.news.is_empty() {
                    return true;
                }
                if state.ended {
                    return false;
                }
            }
            changed.await;
        }
    }

    /// Takes the oldest outcome in hand.
    pub(super) fn take(&self) -> Option<Told> {
        self.0.change(|state| {
            let told = state.backlog.take()?;
            state.in_hand += 1;
            Some(told)
        })
    }

    /// What was taken is posted, or never will be.
    pub(super) fn done(&self) {
        let dropped = self.0.change(|state| {
            state.in_hand = state.in_hand.saturating_sub(1);
            match state.backlog.is_empty() && state.in_hand == 0 {
                true => std::mem::take(&mut state.dropped),
                false => 0,
            }
        });
        if dropped > 0 {
            tracing::warn!(dropped, "all events that were kept are posted");
        }
    }

    /// What was taken waits again, before all others.
    pub(super) fn put_back(&self, taken: Vec<Told>) {
        self.0.change(|state| {
            state.in_hand = state.in_hand.saturating_sub(taken.len());
            state.backlog.put_back(taken);
        });
    }

    /// Whether an outcome waits.
    pub(super) fn is_waiting(&self) -> bool {
        !self.0.state().backlog.is_empty()
    }

    /// The volumes that an outcome waits about.
    pub(super) fn volumes(&self) -> BTreeSet<String> {
        self.0.state().backlog.volumes()
    }

    /// Takes the news of some volume.
    pub(super) fn take_news(&self) -> Option<(String, News)> {
        self.0.state().news.pop_first()
    }

    /// Takes the name of the PersistentVolume as which this volume came, if that is news.
    pub(super) fn take_pv_of(&self, volume_id: &str) -> Option<String> {
        let mut state = self.0.state();
        match state.news.remove_entry(volume_id)? {
            (_, News::Came(pv)) => Some(pv),
            (volume_id, News::Went) => {
                state.news.insert(volume_id, News::Went);
                None
            }
        }
    }

    /// Puts back news that nothing could be done about, unless there are newer ones.
    pub(super) fn put_back_news(&self, volume_id: String, news: News) {
        self.0.state().news.entry(volume_id).or_insert(news);
    }

    /// Takes nothing any more: there is nobody to post to.
    pub(super) fn refuse(&self) {
        self.0.change(|state| {
            *state = State {
                refused: true,
                ended: state.ended,
                ..State::default()
            };
        });
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each change leaves the state whole, whatever happened to the thread that held the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let changed = change(&mut state);
        self.metrics.pending(state.backlog.len() + state.in_hand);
        drop(state);
        self.changed.notify_one();
        changed
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.0.change(|state| state.ended = true);
    }
}
