//! Taking back what a failed publish did, in reverse order.
//!
//! Invariants: only what this call did itself: a target that was there before stays, and so does the
//! publication that was recorded there; what cannot be taken back is in the record, and unpublishing
//! takes it away.

use std::error::Error;

use crate::host::Made;
use crate::volume::record::StageRecord;
use crate::volume::request::PublishRequest;
use crate::volume::unmount::Own;
use crate::volume::unpublish::UnpublishError;
use crate::volume::volumes::Volumes;

/// The effects of one call.
#[derive(Debug)]
pub(super) struct Done {
    /// The record as it was before.
    before: StageRecord,
    /// Since when the target is there, if it is.
    pub(super) target: Option<Made>,
    /// Whether something was mounted on it.
    pub(super) bound: bool,
}

impl Done {
    /// Nothing so far, on a volume with this record.
    pub(super) fn nothing(before: StageRecord) -> Done {
        Done {
            before,
            target: None,
            bound: false,
        }
    }
}

impl Volumes {
    /// Takes back what a failed call did. Where something remains, its publication stays recorded.
    pub(super) fn take_back(&self, done: &Done, request: &PublishRequest) {
        let volume_id = &request.volume_id;
        if let Err(error) = self.clear_target(done, request) {
            let error: &(dyn Error + 'static) = &error;
            tracing::warn!(%volume_id, error, "a failed publish leaves its target behind");
        } else if let Err(error) = self.ground.records.write(&done.before) {
            let error: &(dyn Error + 'static) = &error;
            tracing::warn!(%volume_id, error, "a failed publish stays in the record");
        }
    }

    fn clear_target(&self, done: &Done, request: &PublishRequest) -> Result<(), UnpublishError> {
        let target = &request.target_path;
        if done.bound {
            let own = Own {
                map: self.ground.map_of(&request.volume_id, Some(&done.before)),
                identity: done.before.identity(),
            };
            self.unmount_volume(target, own)?;
        }
        match done.target {
            Some(Made::Now) => Ok(self.ground.host().remove_mount_point(target)?),
            Some(Made::Before) | None => Ok(()),
        }
    }
}
