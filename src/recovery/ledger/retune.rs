//! When it is set again what a hold needs of controllers and heads, and what is told where it cannot be.

use std::time::{Duration, Instant};

use super::Plan;
use crate::recovery::action::{Action, Came};
use crate::recovery::detect::Finding;
use crate::report::outcome::Reason;
use crate::volume::VolumeId;

/// How often what could not be set is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// Of one volume.
#[derive(Debug, Default)]
pub(super) struct Retune {
    /// What was to be set at the last look.
    wanted: Vec<Finding>,
    /// When it is tried again.
    at: Option<Instant>,
    /// Whether it was told that it cannot be set. Why may change from one look to the next.
    is_told: bool,
}

impl Retune {
    /// At once, where it is not known to fail: others may set it back with each of their events.
    pub(super) fn plan(
        &mut self,
        now: Instant,
        id: &VolumeId,
        findings: &[Finding],
        plan: &mut Plan,
    ) {
        let is_about = |f: &&Finding| matches!(f, Finding::Untuned(_) | Finding::Unkept(_));
        let wanted: Vec<Finding> = findings.iter().filter(is_about).cloned().collect();
        if wanted.is_empty() {
            *self = Retune::default();
            return;
        }
        if wanted != self.wanted {
            *self = Retune::default();
        }
        if self.at.is_none_or(|at| now >= at) {
            self.at = Some(now + AGAIN);
            plan.actions.push(Action::Retune(id.clone()));
        }
        self.wanted = wanted;
    }

    pub(super) fn ended(&mut self, id: &VolumeId, came: &Came, plan: &mut Plan) {
        let Came::Failed(error) = came else {
            (self.at, self.is_told) = (None, false);
            return;
        };
        if !self.is_told {
            plan.tell(id, Reason::NotHeld, error);
            self.is_told = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use nvme_sysfs::Instance;

    use super::super::tests::{SECOND, id, reasons, seen};
    use super::super::{Ledger, Plan};
    use super::*;

    const UNTUNED: Finding = Finding::Untuned(Instance(3));

    fn retunes(ledger: &mut Ledger, now: Instant, findings: &[Finding]) -> usize {
        let plan = ledger.plan(now, &[seen("a", findings)], &[]);
        let retune = Action::Retune(id("a"));
        plan.actions.iter().filter(|it| **it == retune).count()
    }

    fn ended(ledger: &mut Ledger, now: Instant, came: &Came) -> Vec<Reason> {
        let mut plan = Plan::default();
        ledger.ended(now, &Action::Retune(id("a")), came, &mut plan);
        reasons(&plan)
    }

    #[test]
    fn what_others_set_back_is_set_again_at_the_next_look() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        for _ in 0..3 {
            assert_eq!(retunes(&mut ledger, now, &[UNTUNED]), 1);
            assert_eq!(ended(&mut ledger, now, &Came::Done), []);
        }
    }

    #[test]
    fn what_cannot_be_set_is_told_once_and_tried_each_half_minute() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        let failed = Came::Failed("others use it".to_owned());
        assert_eq!(retunes(&mut ledger, now, &[UNTUNED]), 1);
        assert_eq!(ended(&mut ledger, now, &failed), [Reason::NotHeld]);
        assert_eq!(retunes(&mut ledger, now + SECOND * 29, &[UNTUNED]), 0);
        assert_eq!(retunes(&mut ledger, now + SECOND * 30, &[UNTUNED]), 1);
        assert_eq!(ended(&mut ledger, now, &failed), []);
        // Another controller has come.
        let both = [UNTUNED, Finding::Untuned(Instance(4))];
        assert_eq!(retunes(&mut ledger, now + SECOND * 31, &both), 1);
    }
}
