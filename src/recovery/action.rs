//! What can be done for a volume, and what came of it.

use nvme_sysfs::{Instance, Nqn};

use crate::volume::VolumeId;
use crate::volume::standing::Stale;

/// Something to be done. Two equal ones never run at the same time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    /// Connect an endpoint.
    Reach {
        /// For which volume.
        volume: VolumeId,
        /// Its place in the source.
        endpoint: usize,
    },
    /// Give the map the disk that carries the volume now.
    BringBack(VolumeId),
    /// Let the map queue, whose suspend was cut off.
    Queue(VolumeId),
    /// Let the errors of a map whose disks are well reach their callers.
    PassErrors(VolumeId),
    /// Suspend the map, which has no path.
    Suspend(VolumeId),
    /// Let everything fail that waits for a path.
    GiveUp(VolumeId),
    /// Let everything fail that waits for a target which completes nothing, though a path is usable.
    GiveUpStuck {
        /// Of which volume.
        volume: VolumeId,
        /// How much had been completed when it was found to be stuck.
        completed: u64,
    },
    /// Set what the hold needs of controllers and heads.
    Retune(VolumeId),
    /// Let a controller look for namespaces.
    LookAgain {
        /// For which volume.
        volume: VolumeId,
        /// Which controller.
        controller: Instance,
    },
    /// Mount anew what is stale.
    Repair(VolumeId),
    /// Disconnect a controller that serves nothing.
    Drop {
        /// Which.
        controller: Instance,
        /// Of which subsystem.
        nqn: Nqn,
    },
}

/// What came of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Came {
    /// There is a new controller.
    Connected,
    /// Somebody else had connected it.
    Adopted,
    /// The target's port did not answer.
    Unanswered(String),
    /// It answered, and the connect failed.
    Refused(String),
    /// It was done.
    Done,
    /// A map may send I/O again to a disk on which some failed.
    Reinstated,
    /// There was nothing to do, or it cannot be done yet.
    Nothing,
    /// It failed.
    Failed(String),
    /// Stale mounts were mounted anew.
    Repaired(Stale),
    /// Somebody uses the stale mount.
    InUse(String),
}
