//! When a controller is told to look for the namespace of a volume which it does not show beside others.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nvme_sysfs::Instance;

use super::Plan;
use crate::backoff::Backoff;
use crate::recovery::action::Action;
use crate::recovery::detect::Finding;
use crate::volume::VolumeId;

/// The longest time between two looks: a target may keep a namespace away for long, and a look asks it for each that it has.
const LIMIT: Duration = Duration::from_secs(30);

/// The controllers of one volume.
#[derive(Debug, Default)]
pub(super) struct Unshown {
    looks: BTreeMap<Instance, Look>,
}

/// The next look of a controller.
#[derive(Debug)]
struct Look {
    at: Instant,
    backoff: Backoff,
}

impl Unshown {
    /// First after a moment, in which the kernel's own look is likely to end.
    pub(super) fn plan(
        &mut self,
        now: Instant,
        id: &VolumeId,
        findings: &[Finding],
        plan: &mut Plan,
    ) {
        let unshown = findings.iter().filter_map(|finding| match finding {
            Finding::Unshown(controller) => Some(*controller),
            _ => None,
        });
        let unshown: Vec<Instance> = unshown.collect();
        self.looks.retain(|known, _| unshown.contains(known));
        for controller in unshown {
            let look = self.looks.entry(controller).or_insert_with(|| {
                let mut backoff = Backoff::default();
                let at = now + backoff.failed(LIMIT);
                Look { at, backoff }
            });
            if now >= look.at {
                look.at = now + look.backoff.failed(LIMIT);
                let volume = id.clone();
                plan.actions.push(Action::LookAgain { volume, controller });
            }
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
}
