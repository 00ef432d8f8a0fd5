//! Actions carried out: each is one call of [`Volumes`], in a thread that may block.

use std::error::Error;

use crate::causes::chain;
use crate::recovery::action::{Action, Came};
use crate::volume::paths::Reached;
use crate::volume::repair::{RepairError, Repaired};
use crate::volume::{KeepError, LetGo, Passed, Suspended, Swapped, VolumeId, Volumes, Waits};

/// Does it, and says what came of it.
pub(super) fn apply(volumes: &Volumes, action: &Action) -> Came {
    match action {
        Action::Reach { volume, endpoint } => reach(volumes, volume, *endpoint),
        Action::BringBack(volume) => match volumes.holds().bring_back(volume) {
            Ok(Swapped::Done) => Came::Done,
            Ok(Swapped::Reinstated) => Came::Reinstated,
            Ok(Swapped::Already | Swapped::NoDisk | Swapped::NotYet) => Came::Nothing,
            Err(error) => Came::Failed(chain(&error)),
        },
        Action::Queue(volume) => match volumes.holds().queue(volume) {
            Ok(true) => Came::Done,
            Ok(false) => Came::Nothing,
            Err(error) => Came::Failed(chain(&error)),
        },
        Action::PassErrors(volume) => match volumes.holds().pass_errors(volume) {
            Ok(Passed::Done | Passed::NotYet) => Came::Done,
            Ok(Passed::NotNeeded) => Came::Nothing,
            Err(error) => Came::Failed(chain(&error)),
        },
        Action::Suspend(volume) => match volumes.holds().suspend(volume) {
            Ok(Suspended::Done) => Came::Done,
            Ok(Suspended::NotYet | Suspended::NotNeeded) => Came::Nothing,
            Err(error) => Came::Failed(chain(&error)),
        },
        Action::GiveUp(volume) => let_go(volumes.holds().give_up(volume, Waits::ForPath)),
        Action::GiveUpStuck { volume, completed } => {
            let completed = *completed;
            let_go(
                volumes
                    .holds()
                    .give_up(volume, Waits::ForTarget { completed }),
            )
        }
        Action::Retune(volume) => done(volumes.holds().retune(volume)),
        Action::LookAgain { volume, controller } => {
            done(volumes.paths().look_again(volume, *controller))
        }
        Action::Repair(volume) => repair(volumes, volume),
        Action::Drop { controller, nqn } => match volumes.paths().drop_controller(*controller, nqn)
        {
            Ok(true) => Came::Done,
            Ok(false) => Came::Nothing,
            Err(error) => Came::Failed(chain(&error)),
        },
    }
}

fn let_go(result: Result<LetGo, KeepError>) -> Came {
    match result {
        Ok(LetGo::Done) => Came::Done,
        Ok(LetGo::Reached) => Came::Nothing,
        Err(error) => Came::Failed(chain(&error)),
    }
}

fn reach(volumes: &Volumes, volume: &VolumeId, endpoint: usize) -> Came {
    match volumes.paths().reach(volume, endpoint) {
        Ok(Reached::Connected) => Came::Connected,
        Ok(Reached::Adopted) => Came::Adopted,
        Ok(Reached::NotWanted | Reached::NotNow) => Came::Nothing,
        Err(error) if error.was_answered() => Came::Refused(chain(&error)),
        Err(error) => Came::Unanswered(chain(&error)),
    }
}

fn repair(volumes: &Volumes, volume: &VolumeId) -> Came {
    match volumes.repair(volume) {
        Ok(Repaired::Done(stale)) => Came::Repaired(stale),
        Ok(Repaired::NotStale | Repaired::Busy | Repaired::NotReached) => Came::Nothing,
        Err(error @ RepairError::InUse(_)) => Came::InUse(chain(&error)),
        Err(error) => Came::Failed(chain(&error)),
    }
}

fn done<E: Error + 'static>(result: Result<(), E>) -> Came {
    match result {
        Ok(()) => Came::Done,
        Err(error) => Came::Failed(chain(&error)),
    }
}
