//! Who uses a volume: the claim and the pod that its context names, who hear of a call that fails.

use super::parameters::Map;
use super::request;
use crate::report::outcome::{ClaimRef, Outcome, PodRef, Reason};

/// Of one call.
#[derive(Debug)]
pub(super) struct User {
    volume_id: String,
    claim: Option<ClaimRef>,
    pod: Option<PodRef>,
}

impl User {
    /// Whom the context of a volume names.
    pub(super) fn of(volume_id: &str, context: &Map) -> User {
        User {
            volume_id: volume_id.to_owned(),
            claim: request::claim(context),
            pod: request::pod(context),
        }
    }

    /// What the user hears.
    pub(super) fn outcome(self, reason: Reason, message: &str) -> Outcome {
        Outcome {
            volume_id: self.volume_id,
            claim: self.claim,
            pods: self.pod.into_iter().collect(),
            reason,
            message: message.to_owned(),
        }
    }
}
