//! Stale mounts: what users hear of them, and when the next attempt to mount anew is made.

use std::time::{Duration, Instant};

use super::{Plan, Seen};
use crate::backoff::Backoff;
use crate::recovery::action::{Action, Came};
use crate::recovery::detect::Finding;
use crate::report::outcome::Reason;
use crate::volume::VolumeId;
use crate::volume::view::Stale;

/// Attempts in a row before something else has to change.
const ATTEMPTS: u32 = 3;
/// The longest time between two of them.
const LIMIT: Duration = Duration::from_secs(4);
/// How often it is looked whether a use has ended, or a path is back.
const AGAIN: Duration = Duration::from_secs(1);

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
        let is_due = self.next.is_none_or(|at| now >= at);
        if is_due && self.failures < ATTEMPTS {
            plan.actions.push(Action::Repair(id.clone()));
        }
    }

    pub(super) fn ended(&mut self, now: Instant, id: &VolumeId, came: &Came, plan: &mut Plan) {
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
                self.next = Some(now + AGAIN);
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
