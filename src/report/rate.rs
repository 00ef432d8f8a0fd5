//! How often the API server is asked: it serves thousands of nodes, and an outage of one target is told
//! by all of them at once. Pure: the time is handed in.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How often at once: one for claim and pod of each volume of a well filled node.
const BURST: u32 = 64;
/// How long until once more.
const REFILL: Duration = Duration::from_secs(1);

/// What may still be asked.
#[derive(Debug)]
pub(super) struct Rate {
    allowed: u32,
    refilled: Instant,
}

impl Rate {
    /// Nothing was asked yet.
    pub(super) fn new(now: Instant) -> Rate {
        Rate {
            allowed: BURST,
            refilled: now,
        }
    }

    /// Waits until it may be asked once more.
    pub(super) async fn wait(&mut self) {
        while let Err(until) = self.take(Instant::now()) {
            sleep_until(until).await;
        }
    }

    /// Asks once, or says when that is allowed.
    fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let passed = now.duration_since(self.refilled).as_secs() / REFILL.as_secs();
        let more = u32::try_from(passed).unwrap_or(BURST);
        if more > 0 {
            self.allowed = self.allowed.saturating_add(more).min(BURST);
            self.refilled += REFILL * more;
        }
        if self.allowed == 0 {
            return Err(self.refilled + REFILL);
        }
        self.allowed -= 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_to_the_burst_and_then_to_the_rate() {
        let began = Instant::now();
        let mut rate = Rate::new(began);
        let mut asked = |now| (0..200).filter(|_| rate.take(now).is_ok()).count();
        assert_eq!(asked(began), 64);
        assert_eq!(asked(began + REFILL * 3), 3);
        assert_eq!(asked(began + REFILL * 1000), 64);
    }

    #[test]
    fn it_is_said_when_one_more_is_allowed() {
        let began = Instant::now();
        let mut rate = Rate::new(began);
        let half = began + REFILL / 2;
        while rate.take(half).is_ok() {}
        assert_eq!(rate.take(half), Err(began + REFILL));
        assert_eq!(rate.take(began + REFILL), Ok(()));
    }
}
