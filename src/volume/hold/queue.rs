//! Making a map queue again whose suspend was cut off.
//!
//! A process that is killed while the kernel waits within its suspend leaves the map active, and without
//! `queue_if_no_path` (see `host/dm/suspend.rs`): the next loss would reach the filesystem. It looks like a map that was
//! let go, but for its name.
//!
//! Invariant: a map that somebody lets go never queues again.

use super::super::volume_id::VolumeId;
use super::holds::Holds;
use super::keep::KeepError;
use super::map::SwapError;
use crate::host::dm::Map;

impl Holds {
    /// Lets the map of a volume queue if it should and does not, and says whether that was so.
    ///
    /// # Errors
    /// [`KeepError`].
    pub fn queue(&self, id: &VolumeId) -> Result<bool, KeepError> {
        let Some((locked, _)) = self.lock_wanted(id)? else {
            return Ok(false);
        };
        match self.ground.read_map(locked.map())? {
            Some(known) => Ok(self.queue_again(&known)?),
            None => Ok(false),
        }
    }

    /// The same for whoever holds the lock of the map, and has just read it.
    pub(super) fn queue_again(&self, known: &Map) -> Result<bool, SwapError> {
        if !known.has_lost_its_queue() {
            return Ok(false);
        }
        let map = known.id;
        tracing::warn!(%map, "a map did not queue, for a suspend of it was cut off: it queues again");
        self.ground.host().queue_map(map)?;
        Ok(true)
    }
}
