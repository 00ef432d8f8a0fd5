//! Keeping the maps of volumes from filling the memory of the node while nothing can be written.
//!
//! Invariant: a limit that cannot be set is a warning; no volume is refused for it.

use std::error::Error;

use super::super::identity::Disk;
use super::holds::Holds;
use super::keep::KeepError;

impl Holds {
    /// Limits the dirty pages of every map of a volume that is here: an earlier plugin may have been
    /// killed before it did so, or known nothing of it.
    ///
    /// # Errors
    /// [`KeepError`], when it cannot be told which maps there are.
    pub fn limit_dirty_of_maps(&self) -> Result<(), KeepError> {
        let (records, _) = self.ground.staged()?;
        for map in records.iter().filter_map(|record| record.map()) {
            let known = self.ground.read_map(map)?;
            // Its disk has no page cache before the first table.
            if let Some(known) = known.filter(|known| known.size_bytes > 0) {
                self.limit_dirty(&Disk::of_map(&known));
            }
        }
        Ok(())
    }

    /// Limits the dirty pages of the disk of a map, if the kernel lets us.
    pub(super) fn limit_dirty(&self, disk: &Disk) {
        if let Err(error) = self.ground.host().limit_dirty(disk.dev) {
            let error: &(dyn Error + 'static) = &error;
            let disk = &disk.name;
            tracing::warn!(
                disk,
                error,
                "a map may fill the memory of this node while it holds writes"
            );
        }
    }
}
