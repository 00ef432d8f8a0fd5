//! What was posted lately: a repeat raises the count of an event instead of making another one. Pure:
//! the time is handed in.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::objects::Object;
use super::outcome::Reason;

/// How long repeats are counted in one event.
const WINDOW: Duration = Duration::from_secs(600);
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
}

/// What was posted.
#[derive(Debug, Default)]
pub(super) struct Series {
    known: HashMap<Key, Known>,
}

#[derive(Debug)]
struct Known {
    event: Option<String>,
    count: i32,
    since: Instant,
}

impl Series {
    /// What to do about something that was told so often more.
    pub(super) fn next(&mut self, now: Instant, key: &Key, more: i32) -> Next {
        self.known
            .retain(|_, known| now.duration_since(known.since) < WINDOW);
        match self.known.get(key) {
            None => Next::Create(more),
            Some(known) => {
                let count = known.count.saturating_add(more);
                match &known.event {
                    Some(event) => Next::Raise(event.clone(), count),
                    None => Next::Create(count),
                }
            }
        }
    }

    /// The event of this name counts so many now.
    pub(super) fn posted(&mut self, now: Instant, key: &Key, event: Option<String>, count: i32) {
        let known = self.know(now, key);
        known.event = event;
        known.count = count;
    }

    /// So many were not posted: the next event counts them too.
    pub(super) fn missed(&mut self, now: Instant, key: &Key, more: i32) {
        let known = self.know(now, key);
        known.count = known.count.saturating_add(more);
    }

    /// The event is not there any more.
    pub(super) fn gone(&mut self, key: &Key) {
        if let Some(known) = self.known.get_mut(key) {
            known.event = None;
        }
    }

    fn know(&mut self, now: Instant, key: &Key) -> &mut Known {
        if self.known.len() >= MOST && !self.known.contains_key(key) {
            self.known.clear();
        }
        self.known.entry(key.clone()).or_insert(Known {
            event: None,
            count: 0,
            since: now,
        })
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
            uid: None,
        };
        (object, Reason::PathLost)
    }

    fn post(series: &mut Series, now: Instant, key: &Key) -> Next {
        let next = series.next(now, key, 1);
        let (Next::Create(count) | Next::Raise(_, count)) = next;
        series.posted(now, key, Some("event".to_owned()), count);
        next
    }

    #[test]
    fn repeats_are_counted_until_the_window_ends() {
        let began = Instant::now();
        let mut series = Series::default();
        let raise = |count| Next::Raise("event".to_owned(), count);
        assert_eq!(post(&mut series, began, &key("a")), Next::Create(1));
        assert_eq!(post(&mut series, began, &key("a")), raise(2));
        assert_eq!(series.next(began, &key("a"), 5), raise(7));
        assert_eq!(post(&mut series, began + WINDOW / 2, &key("a")), raise(3));
        assert_eq!(post(&mut series, began, &key("b")), Next::Create(1));
        assert_eq!(
            post(&mut series, began + WINDOW, &key("a")),
            Next::Create(1)
        );
    }

    #[test]
    fn what_failed_and_is_tried_again_counts_once_and_what_was_missed_with_the_next() {
        let began = Instant::now();
        let mut series = Series::default();
        assert_eq!(series.next(began, &key("a"), 1), Next::Create(1));
        assert_eq!(series.next(began, &key("a"), 1), Next::Create(1));
        series.missed(began, &key("a"), 1);
        assert_eq!(post(&mut series, began, &key("a")), Next::Create(2));
        series.gone(&key("a"));
        assert_eq!(series.next(began, &key("a"), 1), Next::Create(3));
    }
}
