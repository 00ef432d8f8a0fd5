//! What was posted lately: a repeat raises the count of an event instead of making another one, and
//! there is a bound on how much is posted. Pure: the time is handed in.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::objects::Object;
use super::outcome::Reason;

/// How long repeats are counted in one event.
const WINDOW: Duration = Duration::from_secs(600);
/// How many may be posted at once: one on claim and pod of each volume that lost its target.
const BURST: u32 = 64;
/// How long until one more may be posted: an API server serves thousands of nodes.
const REFILL: Duration = Duration::from_secs(2);
/// How many events are remembered at most.
const MOST: usize = 1024;

/// What is the same in repeats.
pub(super) type Key = (Object, Reason);

/// What to do about an outcome.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Make an event that counts so many.
    Create(i32),
    /// Raise the count of the event of this name.
    Raise(String, i32),
    /// Nothing: too much was posted. The next event counts it too.
    Skip,
}

/// What was posted.
#[derive(Debug)]
pub(super) struct Series {
    known: HashMap<Key, Known>,
    allowed: u32,
    refilled: Instant,
}

#[derive(Debug)]
struct Known {
    event: Option<String>,
    count: i32,
    since: Instant,
}

impl Series {
    /// Nothing was posted yet.
    pub(super) fn new(now: Instant) -> Series {
        Series {
            known: HashMap::new(),
            allowed: BURST,
            refilled: now,
        }
    }

    /// Counts one more.
    pub(super) fn next(&mut self, now: Instant, key: &Key) -> Next {
        self.known
            .retain(|_, known| now.duration_since(known.since) < WINDOW);
        if self.known.len() >= MOST && !self.known.contains_key(key) {
            self.known.clear();
        }
        let allowed = self.take(now);
        let known = self.known.entry(key.clone()).or_insert(Known {
            event: None,
            count: 0,
            since: now,
        });
        known.count = known.count.saturating_add(1);
        match &known.event {
            _ if !allowed => Next::Skip,
            Some(event) => Next::Raise(event.clone(), known.count),
            None => Next::Create(known.count),
        }
    }

    /// An event was made under this name.
    pub(super) fn created(&mut self, key: &Key, event: Option<String>) {
        if let Some(known) = self.known.get_mut(key) {
            known.event = event;
        }
    }

    /// The event is not there any more.
    pub(super) fn gone(&mut self, key: &Key) {
        self.created(key, None);
    }

    fn take(&mut self, now: Instant) -> bool {
        let passed = now.duration_since(self.refilled).as_secs() / REFILL.as_secs();
        let more = u32::try_from(passed).unwrap_or(BURST);
        if more > 0 {
            self.allowed = self.allowed.saturating_add(more).min(BURST);
            self.refilled += REFILL * more;
        }
        let allowed = self.allowed > 0;
        self.allowed = self.allowed.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        let object = Object {
            kind: "Pod",
            namespace: "default".to_owned(),
            name: name.to_owned(),
        };
        (object, Reason::PathLost)
    }

    #[test]
    fn repeats_are_counted_until_the_window_ends() {
        let began = Instant::now();
        let mut series = Series::new(began);
        assert_eq!(series.next(began, &key("a")), Next::Create(1));
        series.created(&key("a"), Some("event".to_owned()));
        let raise = |count| Next::Raise("event".to_owned(), count);
        assert_eq!(series.next(began, &key("a")), raise(2));
        assert_eq!(series.next(began + WINDOW / 2, &key("a")), raise(3));
        assert_eq!(series.next(began, &key("b")), Next::Create(1));
        assert_eq!(series.next(began + WINDOW, &key("a")), Next::Create(1));
    }

    #[test]
    fn an_event_that_was_not_made_is_made_by_the_next_and_counts_both() {
        let began = Instant::now();
        let mut series = Series::new(began);
        assert_eq!(series.next(began, &key("a")), Next::Create(1));
        assert_eq!(series.next(began, &key("a")), Next::Create(2));
    }

    #[test]
    fn a_flood_is_cut_to_the_burst_and_then_to_the_rate() {
        let began = Instant::now();
        let mut series = Series::new(began);
        let mut posted = |now| {
            let all = (0..200).map(|number| series.next(now, &key(&number.to_string())));
            all.filter(|next| *next != Next::Skip).count()
        };
        assert_eq!(posted(began), 64);
        assert_eq!(posted(began + REFILL * 3), 3);
    }
}
