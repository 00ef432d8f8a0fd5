//! When a controller is told to look for the namespace of a volume which it does not show beside others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use nvme_sysfs::Instance;

use super::{Plan, Seen};
use crate::backoff::Backoff;
use crate::recovery::action::Action;
use crate::recovery::detect::Finding;
use crate::volume::VolumeId;

/// The longest time between two looks: a target may keep a namespace away for long, and a look asks it for each that it has.
const LIMIT: Duration = Duration::from_secs(30);

/// The controllers of all volumes. One look is for all volumes that a controller does not show.
#[derive(Debug, Default)]
pub(super) struct Unshown {
    looks: BTreeMap<Instance, Look>,
}

/// The next look of a controller.
#[derive(Debug)]
struct Look {
    missing: BTreeSet<VolumeId>,
    at: Instant,
    backoff: Backoff,
}

impl Unshown {
    /// First after a moment, in which the kernel's own look is likely to end; anew for each volume that begins to be missing.
    pub(super) fn plan(&mut self, now: Instant, seen: &[Seen], plan: &mut Plan) {
        let mut unshown: BTreeMap<Instance, BTreeSet<VolumeId>> = BTreeMap::new();
        for seen in seen {
            for finding in &seen.findings {
                if let Finding::Unshown(controller) = finding {
                    let missing = unshown.entry(*controller).or_default();
                    missing.insert(seen.record.volume_id.clone());
                }
            }
        }
        self.looks.retain(|known, _| unshown.contains_key(known));
        for (controller, missing) in unshown {
            let Some(volume) = missing.first().cloned() else {
                continue;
            };
            let known = self.looks.remove(&controller);
            let known = known.filter(|look| missing.is_subset(&look.missing));
            let mut look = known.unwrap_or_else(|| {
                let mut backoff = Backoff::default();
                let at = now + backoff.failed(LIMIT);
                let missing = BTreeSet::new();
                Look {
                    missing,
                    at,
                    backoff,
                }
            });
            if now >= look.at {
                look.at = now + look.backoff.failed(LIMIT);
                plan.actions.push(Action::LookAgain { volume, controller });
            }
            look.missing = missing;
            self.looks.insert(controller, look);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Ledger;
    use super::super::tests::{SECOND, id, reasons, seen};
    use super::*;

    const UNSHOWN: Finding = Finding::Unshown(Instance(3));

    /// In which seconds it is told to look.
    fn looks(ledger: &mut Ledger, start: Instant, seconds: std::ops::Range<u32>) -> Vec<u32> {
        let look = Action::LookAgain {
            volume: id("a"),
            controller: Instance(3),
        };
        let mut looks = Vec::new();
        for second in seconds {
            let now = start + SECOND * second;
            let plan = ledger.plan(now, &[seen("a", &[UNSHOWN])], &[]);
            assert_eq!(reasons(&plan), []);
            if plan.actions.contains(&look) {
                looks.push(second);
                ledger.ended(
                    now,
                    &look,
                    &crate::recovery::action::Came::Done,
                    &mut Plan::default(),
                );
            }
        }
        looks
    }

    #[test]
    fn a_controller_without_the_namespace_is_told_to_look_ever_more_seldom_and_for_ever() {
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        let all = looks(&mut ledger, start, 0..400);
        assert!(all[0] >= 1, "{all:?}");
        let count = |from: u32, to: u32| all.iter().filter(|at| (from..to).contains(at)).count();
        assert!(count(0, 10) >= 2, "{all:?}");
        assert!((2..=4).contains(&count(300, 400)), "{all:?}");
    }

    #[test]
    fn one_that_has_shown_it_again_is_soon_told_to_look_the_next_time() {
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        looks(&mut ledger, start, 0..300);
        ledger.plan(start + SECOND * 300, &[seen("a", &[])], &[]);
        let next = looks(&mut ledger, start, 301..306);
        assert!(!next.is_empty(), "{next:?}");
    }

    #[test]
    fn a_controller_that_shows_none_of_several_volumes_looks_once_for_all() {
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        let both = [seen("a", &[UNSHOWN]), seen("b", &[UNSHOWN])];
        let mut looks = 0;
        for second in 0..3 {
            looks += ledger
                .plan(start + SECOND * second, &both, &[])
                .actions
                .len();
        }
        assert_eq!(looks, 1);
    }

    #[test]
    fn a_volume_that_begins_to_be_missing_does_not_wait_for_the_looks_of_another() {
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        looks(&mut ledger, start, 0..300);
        let both = [seen("a", &[UNSHOWN]), seen("b", &[UNSHOWN])];
        let actions = |ledger: &mut Ledger, second| {
            let plan = ledger.plan(start + SECOND * second, &both, &[]);
            plan.actions.len()
        };
        let soon = (300..303).map(|second| actions(&mut ledger, second));
        assert_eq!(soon.sum::<usize>(), 1);
    }
}
