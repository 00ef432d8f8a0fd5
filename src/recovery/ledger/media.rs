//! Whether a path that keeps failing is a matter of a bad block, and what users hear of that.
//!
//! Invariant: errors are let through only where I/O has failed again right after it was sent again, and at most once a
//! second; where that helps nothing, the path counts as one that keeps failing.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use super::{Plan, Seen};
use crate::recovery::action::{Action, Came};
use crate::recovery::detect::Finding;
use crate::report::outcome::Reason;
use crate::volume::MEDIA_ERRORS_LAST;

/// A path that fails so soon after I/O was sent there again has the same request to thank for it. A second, and
/// what a look takes on a slow machine.
const SOON: Duration = Duration::from_secs(2);
/// How often errors are let through.
const AGAIN: Duration = Duration::from_secs(1);

/// What is to be done about a map all of whose disks are well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Its errors are let through, now or when it is their turn again.
    Pass,
    /// I/O is sent again, if any has failed.
    Reinstate,
}

/// The bad blocks of one volume.
#[derive(Debug, Default)]
pub(super) struct Media {
    /// When I/O was last sent again, unless something else was done since.
    reinstated: Option<Instant>,
    /// When errors were last let through, or were to be.
    tried: Option<Instant>,
    /// When errors were last let through.
    passed: Option<Instant>,
    /// Whether that helped, so that sending I/O again is left out.
    helps: bool,
    told: bool,
}

impl Media {
    pub(super) fn plan(&mut self, now: Instant, seen: &Seen, plan: &mut Plan) -> Way {
        let id = &seen.record.volume_id;
        let since = |at: Option<Instant>| at.map(|at| now.duration_since(at));
        match since(self.passed) {
            Some(quiet) if quiet >= MEDIA_ERRORS_LAST => {
                self.passed = None;
                self.helps = false;
                self.told = false;
            }
            Some(_) if !self.told => {
                self.told = true;
                plan.tell(id, Reason::MediaError, seen.record.describe_media_error());
            }
            Some(_) | None => {}
        }
        let fails_again = self.helps || since(self.reinstated).is_some_and(|time| time < SOON);
        if !seen.findings.contains(&Finding::MapFailed) || !fails_again {
            return Way::Reinstate;
        }
        if since(self.tried).is_none_or(|time| time >= AGAIN) {
            plan.actions.push(Action::PassErrors(id.clone()));
        }
        Way::Pass
    }

    /// I/O is sent again to a disk on which some had failed.
    pub(super) fn reinstated(&mut self, now: Instant) {
        self.reinstated = Some(now);
    }

    /// The target was lost, which is no matter of a bad block.
    pub(super) fn lost(&mut self) {
        self.reinstated = None;
        self.helps = false;
    }

    /// What came of letting errors through.
    pub(super) fn ended(&mut self, now: Instant, came: &Came) {
        self.tried = Some(now);
        self.reinstated = None;
        self.helps = *came == Came::Done;
        if self.helps {
            self.passed = Some(now);
        }
    }
}
