//! Whether the I/O of a map gets on. Pure: the time is handed in.
//!
//! A target may answer everything but I/O: its controllers are live, and nothing is ever completed. After its own
//! time-out (30 s) the kernel drops such a controller, a new one is connected, and what waits is sent again and waits
//! again. So the clock runs from the last request that was completed, whatever came and went since.
//!
//! Invariants: a map without I/O under way is never stuck; what a suspend or a swap took back is not taken for completed.

use std::time::{Duration, Instant};

use crate::host::io_counts::IoCounts;

/// I/O that gets on so little is stuck.
const STUCK: Duration = Duration::from_secs(30);
/// A loss that comes after so long without progress is the end of I/O that was stuck: the kernel's own time-out
/// runs from about the same moment.
const NEARLY: Duration = Duration::from_secs(25);
/// How long a path that has just returned may take to complete something.
const RETURN: Duration = Duration::from_secs(5);

/// What is known of the I/O of one map.
#[derive(Debug, Default)]
pub struct Progress {
    /// The last count.
    completed: Option<u64>,
    /// Since when it has not changed, while I/O is under way.
    since: Option<Instant>,
    /// Whether the next count tells nothing: what waits was taken back since the last one.
    disturbed: bool,
    /// When a path was there again, if nothing was completed since.
    returned: Option<Instant>,
}

/// How the I/O of a map that has a path gets on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Getting {
    /// On, or there is none.
    On,
    /// It cannot be told yet: the path has just returned.
    Unknown,
    /// Nowhere, since then.
    Nowhere(Instant),
}

impl Progress {
    /// The map was suspended, or got another disk.
    pub fn disturbed(&mut self) {
        self.disturbed = true;
    }

    /// Takes what is seen of a map that has a path now.
    pub fn look(&mut self, now: Instant, io: Option<IoCounts>) -> Getting {
        let disturbed = std::mem::take(&mut self.disturbed);
        if disturbed && self.since.is_some() {
            self.completed = io.map(|io| io.done).or(self.completed);
            self.returned = Some(now);
            return Getting::Unknown;
        }
        let (Some(io), since) = (io, self.since) else {
            *self = Progress::default();
            return Getting::On;
        };
        let Some(since) = since.filter(|_| self.completed == Some(io.done)) else {
            self.completed = Some(io.done);
            self.since = Some(now);
            self.returned = None;
            return Getting::On;
        };
        let just = self
            .returned
            .is_some_and(|at| now.duration_since(at) < RETURN);
        match now.duration_since(since) >= STUCK {
            true if !just => Getting::Nowhere(since),
            false if self.returned.is_none() => Getting::On,
            _ => Getting::Unknown,
        }
    }

    /// Since when nothing was completed, where a loss that is seen now is the end of that.
    #[must_use]
    pub fn before_loss(&self, now: Instant) -> Option<Instant> {
        self.since
            .filter(|since| now.duration_since(*since) >= NEARLY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn under_way(completed: u64) -> Option<IoCounts> {
        Some(IoCounts {
            under_way: 1,
            done: completed,
        })
    }

    #[test]
    fn io_of_which_nothing_is_completed_for_thirty_seconds_is_stuck() {
        let (mut progress, start) = (Progress::default(), Instant::now());
        for second in 0..30 {
            let getting = progress.look(start + SECOND * second, under_way(7));
            assert_eq!(getting, Getting::On, "{second}");
        }
        let getting = progress.look(start + SECOND * 30, under_way(7));
        assert_eq!(getting, Getting::Nowhere(start));
    }

    #[test]
    fn a_slow_target_that_completes_one_request_in_29_seconds_makes_progress() {
        let (mut progress, start) = (Progress::default(), Instant::now());
        for second in 0..300 {
            let completed = u64::from(second / 29);
            let getting = progress.look(start + SECOND * second, under_way(completed));
            assert_eq!(getting, Getting::On, "{second}");
        }
    }

    #[test]
    fn an_idle_map_is_never_stuck() {
        let (mut progress, start) = (Progress::default(), Instant::now());
        assert_eq!(progress.look(start, under_way(7)), Getting::On);
        for second in [10, 100, 1000] {
            assert_eq!(progress.look(start + SECOND * second, None), Getting::On);
        }
        let later = start + SECOND * 1001;
        assert_eq!(progress.look(later, under_way(7)), Getting::On, "a new one");
    }

    #[test]
    fn a_path_that_is_back_for_a_moment_does_not_set_the_clock_back() {
        let (mut progress, start) = (Progress::default(), Instant::now());
        progress.look(start, under_way(7));
        let lost = start + SECOND * 29;
        assert_eq!(progress.before_loss(lost), Some(start));
        progress.disturbed();
        // What was taken back counts as completed, and is not under way until it was sent again.
        let back = start + SECOND * 33;
        assert_eq!(progress.look(back, None), Getting::Unknown);
        progress.disturbed();
        assert_eq!(progress.look(back, under_way(8)), Getting::Unknown);
        assert_eq!(progress.look(back + SECOND, under_way(8)), Getting::Unknown);
        let later = back + RETURN;
        assert_eq!(progress.look(later, under_way(8)), Getting::Nowhere(start));
    }

    #[test]
    fn what_waited_for_a_path_that_returns_well_gets_on() {
        let (mut progress, start) = (Progress::default(), Instant::now());
        progress.look(start, under_way(7));
        assert_eq!(progress.before_loss(start + SECOND), None, "a plain loss");
        progress.disturbed();
        let back = start + SECOND * 100;
        assert_eq!(progress.look(back, under_way(8)), Getting::Unknown);
        assert_eq!(progress.look(back + SECOND, under_way(9)), Getting::On);
        progress.disturbed();
        assert_eq!(progress.look(back + SECOND * 2, None), Getting::Unknown);
        assert_eq!(progress.look(back + SECOND * 3, None), Getting::On);
    }
}
