//! Stale mounts: what users hear of them, and when the next attempt to mount anew is made.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Plan, Seen};
use crate::backoff::Backoff;
use crate::recovery::action::{Action, Came};
use crate::recovery::detect::Finding;
use crate::report::outcome::Reason;
use crate::volume::VolumeId;
use crate::volume::standing::Stale;

/// Attempts in a row before something else has to change.
const ATTEMPTS: u32 = 3;
/// The longest time between two of them.
const LIMIT: Duration = Duration::from_secs(4);
/// How often it is looked whether a path is back.
const AGAIN: Duration = Duration::from_secs(1);
/// The longest time between two looks whether a use has ended, each of which reads the mounts of every process. The end of a
/// pod shows among the mounts of the volume, and is not waited for; that of a container alone shows nowhere else.
const IN_USE: Duration = Duration::from_secs(30);

/// The repairs of one volume.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    seen_before: bool,
    /// What was told last.
    stale: Option<Stale>,
    /// What was found when the attempts began.
    findings: Vec<Finding>,
    failures: u32,
    backoff: Backoff,
    next: Option<Instant>,
    /// Whether an attempt is under way.
    runs: bool,
    /// Where the volume was mounted when the last attempt was begun, if that found somebody who uses it.
    used: Option<Vec<PathBuf>>,
    mounts: Vec<PathBuf>,
    told: Option<String>,
}

impl Repairs {
    pub(super) fn plan(&mut self, now: Instant, seen: &Seen, plan: &mut Plan) {
        let id = &seen.record.volume_id;
        let Some(stale) = find_stale(seen) else {
            // What was told of a mount that is whole again is history.
            *self = Repairs::default();
            return;
        };
        // Seen once it may be what an operation that has just ended took away: the record was read first.
        if !std::mem::replace(&mut self.seen_before, true) {
            return;
        }
        if self.stale != Some(stale) {
            self.stale = Some(stale);
            plan.stale.push(stale);
            plan.tell(id, Reason::StaleMountDetected, stale.describe());
        }
        if self.findings != seen.findings {
            self.findings.clone_from(&seen.findings);
            self.failures = 0;
            self.backoff = Backoff::default();
        }
        if self.used.as_ref().is_some_and(|used| *used != seen.mounts) {
            self.used = None;
            self.next = None;
            self.backoff = Backoff::default();
        }
        let is_due = self.next.is_none_or(|at| now >= at) && !self.runs;
        if is_due && self.failures < ATTEMPTS {
            self.runs = true;
            self.mounts.clone_from(&seen.mounts);
            plan.actions.push(Action::Repair(id.clone()));
        }
    }

    pub(super) fn ended(&mut self, now: Instant, id: &VolumeId, came: &Came, plan: &mut Plan) {
        self.runs = false;
        self.used = None;
        match came {
            Came::Repaired(stale) => {
                plan.tell(id, Reason::StaleMountRecovered, stale.describe());
                *self = Repairs::default();
            }
            Came::Failed(error) => {
                self.failures += 1;
                self.next = Some(now + self.backoff.failed(LIMIT));
                self.tell(id, error, plan);
            }
            Came::InUse(user) => {
                self.next = Some(now + self.backoff.failed(IN_USE));
                self.used = Some(std::mem::take(&mut self.mounts));
                self.tell(id, user, plan);
            }
            _ => self.next = Some(now + AGAIN),
        }
    }

    fn tell(&mut self, id: &VolumeId, error: &str, plan: &mut Plan) {
        if self.told.as_deref() != Some(error) {
            self.told = Some(error.to_owned());
            plan.tell(id, Reason::RecoveryFailed, error);
        }
    }
}

/// A map that is gone or was let go makes its filesystem dead, whatever the mount says yet.
fn find_stale(seen: &Seen) -> Option<Stale> {
    seen.record.staged()?;
    seen.findings.iter().find_map(|finding| match finding {
        Finding::Stale(stale) => Some(*stale),
        Finding::MapMissing | Finding::MapLetGo => Some(Stale::FilesystemDead),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::ledger::Ledger;
    use crate::recovery::ledger::tests::{SECOND, id, seen};

    const USED: &str = "app";

    /// A stale volume of which this is mounted.
    fn stale(mounted: &[&str]) -> [Seen; 1] {
        let mounts = mounted.iter().map(PathBuf::from).collect();
        let findings = [Finding::Stale(Stale::DeviceGone)];
        [Seen {
            mounts,
            ..seen("a", &findings)
        }]
    }

    /// The seconds in which an attempt is made, each of which finds a user.
    fn attempts(ledger: &mut Ledger, began: Instant, seconds: u32, seen: &[Seen]) -> Vec<u32> {
        let repair = Action::Repair(id("a"));
        let mut made = Vec::new();
        for second in 0..seconds {
            let now = began + SECOND * second;
            if ledger.plan(now, seen, &[]).actions.contains(&repair) {
                made.push(second);
                let in_use = Came::InUse(USED.to_owned());
                ledger.ended(now, &repair, &in_use, &mut Plan::default());
            }
        }
        made
    }

    #[test]
    fn a_use_is_waited_out_and_looked_at_less_and_less_often() {
        let mut ledger = Ledger::default();
        let now = Instant::now();
        ledger.plan(now, &stale(&["/a"]), &[]);
        let made = attempts(&mut ledger, now, 600, &stale(&["/a"]));
        // 1, 2, 4, 8, 16 seconds apart, then 30, each up to a tenth and a look later.
        let apart: Vec<u32> = made.windows(2).map(|two| two[1] - two[0]).collect();
        assert!(apart.is_sorted_by_key(|time| (*time).min(30)), "{apart:?}");
        let (first, last) = (apart[0], apart[apart.len() - 1]);
        assert!((1..=2).contains(&first), "{apart:?}");
        assert!((30..=34).contains(&last), "{apart:?}");
    }

    #[test]
    fn a_use_is_looked_at_again_as_soon_as_the_mounts_of_the_volume_change() {
        let mut ledger = Ledger::default();
        let now = Instant::now();
        ledger.plan(now, &stale(&["/a", "/pod"]), &[]);
        let made = attempts(&mut ledger, now, 100, &stale(&["/a", "/pod"]));
        let soon = now + SECOND * (made.last().expect("one") + 1);
        assert_eq!(attempts(&mut ledger, soon, 1, &stale(&["/a"])), [0]);
    }

    #[test]
    fn what_changes_while_an_attempt_is_under_way_is_not_missed() {
        let mut ledger = Ledger::default();
        let mut now = Instant::now();
        let repair = Action::Repair(id("a"));
        ledger.plan(now, &stale(&["/a", "/pod"]), &[]);
        attempts(&mut ledger, now, 100, &stale(&["/a", "/pod"]));
        now += SECOND * 140;
        let plan = ledger.plan(now, &stale(&["/a", "/pod"]), &[]);
        assert_eq!(plan.actions, std::slice::from_ref(&repair));
        assert_eq!(ledger.plan(now, &stale(&["/a"]), &[]).actions, []);
        let in_use = Came::InUse(USED.to_owned());
        ledger.ended(now, &repair, &in_use, &mut Plan::default());
        assert_eq!(ledger.plan(now, &stale(&["/a"]), &[]).actions, [repair]);
    }
}
