//! Taking back what a failed stage did, in reverse order.
//!
//! Invariants: only what this call did itself; what cannot be taken back is in the record, and
//! unstaging the volume takes it away.

use std::error::Error;

use nvme_fabrics::Tuning;

use super::Staging;
use crate::volume::paths::detach::{Leaving, OwnUse, Reach};

/// Something of a failed call could not be taken back, and was logged.
#[derive(Debug)]
struct Remains;

impl Staging<'_> {
    /// Takes back what this call did. Goes on past a failure; what then remains is in the record,
    /// and unstaging the volume takes it away.
    pub(super) fn undo(self) {
        // An unmount may wait for a path, so until then a lost one is brought back.
        let mount = self.undo_mount();
        // From here on a volume that was not here before is not to be brought back.
        let _leaving = self
            .done
            .record
            .then(|| self.volumes.ground.leave(&self.request.volume_id));
        let map = self.undo_map();
        self.undo_tuning();
        self.undo_head();
        let clean = [mount, map, self.undo_connects()];
        if self.done.record && clean.iter().all(Result::is_ok) {
            let closed = self.volumes.ground.records.close(&self.request.volume_id);
            self.tell("the record stays", closed.map_err(Into::into))
                .ok();
        }
    }

    fn undo_mount(&self) -> Result<(), Remains> {
        if !self.done.mounted {
            return Ok(());
        }
        let unmounted = self
            .volumes
            .ground
            .host()
            .unmount(&self.request.staging_target_path);
        self.tell(
            "the filesystem stays mounted",
            unmounted.map_err(Into::into),
        )
    }

    fn undo_map(&self) -> Result<(), Remains> {
        let Some(map) = self.done.map else {
            return Ok(());
        };
        let locked = self.volumes.holds.lock_map(map);
        let removed = locked.and_then(|_locked| self.volumes.ground.host().remove_map(map));
        self.tell("the map stays", removed.map_err(Into::into))
    }

    /// A controller that is gone by now needs nothing, and what others have set meanwhile is theirs.
    fn undo_tuning(&self) {
        for (controller, before) in &self.done.tuned {
            let tuning = Tuning {
                ctrl_loss_tmo: Some(*before),
                ..Tuning::default()
            };
            let nqn = &self.request.source.nqn;
            let restored = self.volumes.ground.host().tune(*controller, nqn, &tuning);
            self.tell(
                "a controller gives up at once",
                restored.map_err(Into::into),
            )
            .ok();
        }
    }

    /// A head that is gone by now needs nothing.
    fn undo_head(&self) {
        if let Some((name, before)) = &self.done.head {
            let restored = self.volumes.ground.host().keep_head(name, *before);
            self.tell("the disk outlives its paths", restored.map_err(Into::into))
                .ok();
        }
    }

    fn undo_connects(&self) -> Result<(), Remains> {
        if self.done.created.is_empty() {
            return Ok(());
        }
        let detached = self.volumes.paths.detach(Leaving {
            volume_id: &self.request.volume_id,
            nqn: &self.request.source.nqn,
            identity: None,
            reach: Reach::Created(&self.done.created),
            own_use: OwnUse::Refuse,
        });
        self.tell("controllers stay", detached.map(drop).map_err(Into::into))
    }

    fn tell(&self, what: &'static str, result: Result<(), Box<dyn Error>>) -> Result<(), Remains> {
        result.map_err(|error| {
            let error: &(dyn Error + 'static) = &*error;
            let volume_id = &self.request.volume_id;
            tracing::warn!(%volume_id, what, error, "a failed stage could not be undone");
            Remains
        })
    }
}
