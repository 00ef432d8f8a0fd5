//! When a volume that is leaving is cut off. Pure: the time is handed in.

use std::time::{Duration, Instant};

use crate::host::io_counts::IoCounts;
use crate::volume::flow::Flow;
use crate::volume::hold::Waits;
use crate::volume::progress::{Getting, Progress};

/// What was seen of the volume so far.
#[derive(Debug)]
pub(super) struct Stuck {
    patience: Duration,
    lost_since: Option<Instant>,
    progress: Progress,
}

impl Stuck {
    /// A lost path may take this time to return.
    pub(super) fn new(patience: Duration) -> Stuck {
        Stuck {
            patience,
            lost_since: None,
            progress: Progress::default(),
        }
    }

    /// For what it waits in vain, if it does.
    pub(super) fn look(
        &mut self,
        now: Instant,
        standing: Flow,
        io: Option<IoCounts>,
    ) -> Option<Waits> {
        match standing {
            Flow::Waiting => {
                let before = self.progress.before_loss(now);
                let since = *self.lost_since.get_or_insert(before.unwrap_or(now));
                self.progress.disturbed();
                (now.duration_since(since) >= self.patience).then_some(Waits::ForPath)
            }
            Flow::Reached => {
                self.lost_since = None;
                let getting = self.progress.look(now, io);
                let is_stuck = matches!(getting, Getting::Nowhere(_));
                let io = io.filter(|_| is_stuck)?;
                Some(Waits::ForTarget { completed: io.done })
            }
            Flow::Dead => {
                self.lost_since = None;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const PATIENCE: Duration = Duration::from_secs(30);
    const IO: Option<IoCounts> = Some(IoCounts {
        under_way: 1,
        done: 7,
    });

    #[test]
    fn a_lost_path_gets_its_time() {
        let (mut stuck, start) = (Stuck::new(PATIENCE), Instant::now());
        assert_eq!(stuck.look(start, Flow::Reached, IO), None);
        for second in [1, 15, 30] {
            let now = start + SECOND * second;
            assert_eq!(stuck.look(now, Flow::Waiting, IO), None, "{second}");
        }
        let now = start + SECOND * 31;
        let waits = stuck.look(now, Flow::Waiting, IO);
        assert_eq!(waits, Some(Waits::ForPath));
    }

    #[test]
    fn a_target_that_completes_nothing_gets_no_more() {
        let (mut stuck, start) = (Stuck::new(PATIENCE), Instant::now());
        assert_eq!(stuck.look(start, Flow::Reached, IO), None);
        let late = start + SECOND * 30;
        let waits = stuck.look(late, Flow::Reached, IO);
        assert_eq!(waits, Some(Waits::ForTarget { completed: 7 }));
        // The kernel has dropped the controller meanwhile.
        let waits = stuck.look(late, Flow::Waiting, None);
        assert_eq!(waits, Some(Waits::ForPath));
    }

    #[test]
    fn what_is_dead_or_idle_needs_no_cut() {
        let (mut stuck, start) = (Stuck::new(PATIENCE), Instant::now());
        for second in [0, 100] {
            let now = start + SECOND * second;
            assert_eq!(stuck.look(now, Flow::Dead, None), None);
            assert_eq!(stuck.look(now, Flow::Reached, None), None);
        }
    }
}
