//! Whether a volume has a path: since when not, what users hear of it, and when its I/O is let go.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Plan, Seen};
use crate::recovery::action::Action;
use crate::recovery::detect::Finding;
use crate::report::outcome::Reason;
use crate::volume::progress::{Getting, Progress};

/// A loss that is shorter is only counted: users have nothing to do about it.
const TELL: Duration = Duration::from_secs(30);
/// How often letting go is tried again.
const GIVE_UP_AGAIN: Duration = Duration::from_secs(5);

/// A path that fails so often in [`WITHIN`] is lost, though it is there whenever it is looked at.
const FAILURES: usize = 5;
const WITHIN: Duration = Duration::from_secs(60);

/// The paths of one volume.
#[derive(Debug, Default)]
pub(super) struct Paths {
    lost_since: Option<Instant>,
    told: bool,
    give_up_at: Option<Instant>,
    /// Whether the last look found none.
    none_usable: bool,
    /// When the map was last told to send I/O again to a disk on which some had failed.
    reinstated: VecDeque<Instant>,
    /// Since when some paths are down, and whether that was told.
    down: Option<(Instant, bool)>,
    progress: Progress,
}

impl Paths {
    /// The map was suspended or got another disk, or I/O is sent again.
    pub(super) fn disturbed(&mut self) {
        self.progress.disturbed();
    }

    /// Whether none is usable.
    pub(super) fn are_lost(&self) -> bool {
        self.lost_since.is_some()
    }

    /// The map may send I/O again to a disk on which some failed.
    pub(super) fn reinstated(&mut self, now: Instant) {
        self.reinstated.push_back(now);
        self.reinstated
            .drain(..self.reinstated.len().saturating_sub(FAILURES));
    }

    /// Its I/O was let go, or reached the disk with all its errors: what failed counts no more.
    pub(super) fn forget_failures(&mut self) {
        self.reinstated.clear();
    }

    /// Whether I/O keeps failing on a disk that is there.
    pub(super) fn keeps_failing(&self, now: Instant) -> bool {
        let oldest = self.reinstated.front();
        self.reinstated.len() == FAILURES
            && oldest.is_some_and(|oldest| now.duration_since(*oldest) < WITHIN)
    }

    pub(super) fn plan(&mut self, now: Instant, seen: &Seen, plan: &mut Plan) {
        let none_usable = seen.findings.contains(&Finding::NoPath);
        let disk_is_gone = none_usable && !has_disk(seen);
        if none_usable && !self.none_usable {
            if let Some(since) = self.progress.before_loss(now) {
                self.lost_since = Some(since);
            } else if disk_is_gone {
                // Another loss than that of I/O which kept failing, with a time of its own.
                self.lost_since = None;
            }
        }
        self.none_usable = none_usable;
        if none_usable {
            // What a map waits with, or takes back, is no sign of its target.
            self.progress.disturbed();
        }
        if none_usable || self.keeps_failing(now) {
            self.plan_loss(now, seen, plan);
            return;
        }
        match self.progress.look(now, seen.io) {
            Getting::Nowhere(since) => {
                self.lost_since = Some(since);
                self.plan_loss(now, seen, plan);
                return;
            }
            // A path that is back for a moment ends no loss.
            Getting::Unknown if self.lost_since.is_some() => return,
            Getting::Unknown | Getting::On => {}
        }
        if let Some(since) = self.lost_since.take() {
            self.plan_return(now.duration_since(since), seen, plan);
        }
        self.plan_down(now, seen, plan);
    }

    /// Some paths are down, and others carry the I/O.
    fn plan_down(&mut self, now: Instant, seen: &Seen, plan: &mut Plan) {
        let (nqn, id) = (&seen.record.source.nqn, &seen.record.volume_id);
        let down = seen.findings.iter().find_map(|finding| match finding {
            Finding::PathsDown { usable, wanted } => Some((*usable, *wanted)),
            _ => None,
        });
        let Some((usable, wanted)) = down else {
            if let Some((_, true)) = self.down.take() {
                plan.tell(
                    id,
                    Reason::PathRestored,
                    format!("{nqn} has all its paths again"),
                );
            }
            return;
        };
        let (since, told) = self.down.get_or_insert((now, false));
        let time = now.duration_since(*since);
        if time >= TELL && !*told {
            *told = true;
            let seconds = time.as_secs();
            let message =
                format!("{usable} of {wanted} paths to {nqn} are usable, for {seconds} s");
            plan.tell(id, Reason::PathLost, message);
        }
    }

    fn plan_loss(&mut self, now: Instant, seen: &Seen, plan: &mut Plan) {
        let record = &seen.record;
        let since = *self.lost_since.get_or_insert(now);
        let lost = now.duration_since(since);
        if lost >= TELL && !self.told {
            self.told = true;
            let (nqn, seconds) = (&record.source.nqn, lost.as_secs());
            let message = match self.none_usable || self.keeps_failing(now) {
                true => format!("no path to {nqn} for {seconds} s: {}", describe(seen)),
                false => format!("{nqn} answers, and has completed no I/O for {seconds} s"),
            };
            plan.tell(&record.volume_id, Reason::PathLost, message);
        }
        // Only a map can be let go; a head has the time that it was given.
        let (Some(limit), Some(_)) = (record.source.path_loss_timeout, record.map()) else {
            return;
        };
        let let_go = seen.findings.contains(&Finding::MapLetGo);
        let is_due = self.give_up_at.is_none_or(|at| now >= at);
        if lost >= limit && !let_go && is_due {
            self.give_up_at = Some(now + GIVE_UP_AGAIN);
            let volume = record.volume_id.clone();
            plan.actions
                .push(match seen.io.filter(|_| !self.none_usable) {
                    Some(io) if !self.keeps_failing(now) => Action::GiveUpStuck {
                        volume,
                        completed: io.done,
                    },
                    _ => Action::GiveUp(volume),
                });
        }
    }

    fn plan_return(&mut self, lost: Duration, seen: &Seen, plan: &mut Plan) {
        plan.outages.push(lost);
        self.give_up_at = None;
        if std::mem::take(&mut self.told) {
            let message = format!(
                "{} is reached again after {} s",
                seen.record.source.nqn,
                lost.as_secs()
            );
            plan.tell(&seen.record.volume_id, Reason::PathRestored, message);
        }
    }
}

/// Whether a disk carries the volume.
fn has_disk(seen: &Seen) -> bool {
    let is_there = |finding: &Finding| matches!(finding, Finding::MapBehind | Finding::MapFailed);
    seen.findings.iter().any(is_there)
}

fn describe(seen: &Seen) -> &'static str {
    let mismatch = |finding: &Finding| matches!(finding, Finding::IdentityMismatch(_));
    if seen.findings.iter().any(mismatch) {
        "another namespace stands in its place"
    } else if seen
        .record
        .hold
        .as_ref()
        .is_some_and(|hold| hold.as_str() != "none")
    {
        "I/O waits until it returns"
    } else {
        "I/O waits for as long as the kernel keeps its controllers"
    }
}
