//! Times between attempts: twice as long after each one, up to a limit, each a little different.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The first time.
const FIRST: Duration = Duration::from_secs(1);

/// How long to wait before the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { next: FIRST }
    }
}

impl Backoff {
    /// The time until the next attempt after one that failed, at most `limit`, and up to a tenth more
    /// so that many that failed together do not come together again.
    pub(crate) fn failed(&mut self, limit: Duration) -> Duration {
        let wait = self.next.min(limit);
        self.next = (wait * 2).min(limit);
        wait + jitter(wait / 10)
    }
}

/// A random part of `most`.
fn jitter(most: Duration) -> Duration {
    let random = RandomState::new().hash_one(0_u8);
    let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(random.checked_rem(most).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_twice_the_one_before_up_to_the_limit() {
        let mut backoff = Backoff::default();
        let limit = Duration::from_secs(30);
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            let wait = backoff.failed(limit);
            let least = Duration::from_secs(seconds);
            assert!(wait >= least && wait < least + least / 10, "{wait:?}");
        }
    }
}
