//! What is wrong with a volume or with the storage behind it, in the words of CSI 1.13
//! (`VolumeHealth`, `StorageBackendHealth`). Pure: it says how what the one judge found is told.

use nvme_sysfs::{Nqn, Tree};
use thiserror::Error;

use super::record::{RecordError, StageRecord};
use super::sight::{LookError, Sight};
use super::standing::{MountState, Standing};
use crate::host::dm::Map;

/// One adverse condition of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthEntry {
    /// How bad it is.
    pub status: HealthStatus,
    /// What it is.
    pub reason: HealthReason,
    /// What was seen.
    pub message: String,
}

/// How bad a condition of a volume is, `VolumeHealthErrorType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthStatus {
    /// Works, with less than it should have.
    Degraded,
    /// Cannot be used now.
    Inaccessible,
}

/// What a condition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthReason {
    /// No path to the namespace is usable.
    NoPath,
    /// Some paths are not usable.
    PathsDown,
    /// A mount leads to a device that is not the volume's, or to none.
    StaleMount,
    /// Somebody else has mounted something in the place of the volume.
    ForeignMount,
    /// Another namespace stands where the volume was.
    IdentityMismatch,
    /// I/O may wait in a controller that is not under this driver's control, and not in the map.
    NotHeld,
    /// Reads or writes of some blocks fail at the target.
    MediaError,
}

/// One adverse condition of a subsystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageHealthEntry {
    /// How bad it is.
    pub status: StorageStatus,
    /// What it is.
    pub reason: HealthReason,
    /// Which subsystem, and what was seen.
    pub message: String,
}

/// How bad a condition of a subsystem is, `StorageHealthErrorType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageStatus {
    /// Works, with less than it should have.
    Degraded,
    /// Not reached from this node.
    Unreachable,
}

/// Why nothing can be said. A condition that was told before holds on.
#[derive(Debug, Error)]
pub enum HealthError {
    /// The records cannot be read.
    #[error("cannot read what is staged here")]
    Record(#[from] RecordError),
    /// This node cannot be judged.
    #[error(transparent)]
    Look(#[from] LookError),
}

impl HealthReason {
    /// The word for the answer, in CamelCase as the specification wants it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            HealthReason::NoPath => "NoPath",
            HealthReason::PathsDown => "PathsDown",
            HealthReason::StaleMount => "StaleMount",
            HealthReason::ForeignMount => "ForeignMount",
            HealthReason::IdentityMismatch => "IdentityMismatch",
            HealthReason::NotHeld => "NotHeld",
            HealthReason::MediaError => "MediaError",
        }
    }
}

/// Every adverse condition of a staged volume; `not_held` tells why a map does not hold its I/O, or not all of it.
pub(super) fn judge(
    record: &StageRecord,
    standing: Option<&Standing<'_>>,
    tree: &Tree,
    not_held: Option<&str>,
) -> Vec<HealthEntry> {
    let Some(standing) = standing.filter(|_| record.staged().is_some()) else {
        return Vec::new();
    };
    let nqn = &record.source.nqn;
    let path = match standing.mismatch() {
        Some(mismatch) => Some(HealthEntry {
            status: HealthStatus::Inaccessible,
            reason: HealthReason::IdentityMismatch,
            message: format!("behind {nqn}, {mismatch}"),
        }),
        None => judge_paths(nqn, tree, standing),
    };
    let mount = standing
        .find_wrong_mount()
        .map(|(place, message)| HealthEntry {
            status: HealthStatus::Inaccessible,
            reason: match place.state {
                MountState::Foreign => HealthReason::ForeignMount,
                _ => HealthReason::StaleMount,
            },
            message,
        });
    let let_go = standing.map.filter(|map| map.was_let_go()).map(let_go);
    let kept = judge_hold(record, standing, not_held);
    path.into_iter()
        .chain(mount)
        .chain(let_go)
        .chain(kept)
        .collect()
}

/// What is wrong with the way to the subsystem of a staged volume. What stands there is the volume's condition.
pub(super) fn judge_storage(record: &StageRecord, sight: &Sight) -> Option<StorageHealthEntry> {
    let standing = Standing::of(record, sight).filter(|_| record.staged().is_some())?;
    if standing.mismatch().is_some() {
        return None;
    }
    let entry = judge_paths(&record.source.nqn, sight.tree(), &standing)?;
    Some(StorageHealthEntry {
        status: match entry.status {
            HealthStatus::Degraded => StorageStatus::Degraded,
            HealthStatus::Inaccessible => StorageStatus::Unreachable,
        },
        reason: entry.reason,
        message: entry.message,
    })
}

fn judge_paths(nqn: &Nqn, tree: &Tree, standing: &Standing<'_>) -> Option<HealthEntry> {
    let (usable, wanted) = (standing.usable_paths, standing.wanted_paths);
    if usable == 0 {
        return Some(no_path(nqn, tree));
    }
    (usable < wanted).then(|| HealthEntry {
        status: HealthStatus::Degraded,
        reason: HealthReason::PathsDown,
        message: format!("{usable} of {wanted} paths to {nqn} are usable"),
    })
}

fn let_go(map: &Map) -> HealthEntry {
    HealthEntry {
        status: HealthStatus::Inaccessible,
        reason: HealthReason::StaleMount,
        message: format!("{} was let go while no path existed", map.disk),
    }
}

fn judge_hold(
    record: &StageRecord,
    standing: &Standing<'_>,
    not_held: Option<&str>,
) -> Option<HealthEntry> {
    let message = match (standing.keeping.first(), not_held) {
        (Some(controller), why) => {
            let why = why.map_or_else(String::new, |why| format!("; {why}"));
            format!(
                "{controller} outlives a loss, and sends what waits in it to whatever stands behind the name then{why}"
            )
        }
        (None, Some(why)) if record.map().is_none() => {
            format!("its I/O is not held during a loss: {why}")
        }
        // With a map, what is not seen any more has passed.
        (None, _) => return None,
    };
    Some(HealthEntry {
        status: HealthStatus::Degraded,
        reason: HealthReason::NotHeld,
        message,
    })
}

fn no_path(nqn: &Nqn, tree: &Tree) -> HealthEntry {
    let controllers = tree.find_subsystems(nqn).flat_map(|s| &s.controllers);
    let states: Vec<String> = controllers
        .map(|controller| format!("{} is {}", controller.instance, controller.state))
        .collect();
    let states = if states.is_empty() {
        "there is no controller".to_owned()
    } else {
        states.join(", ")
    };
    HealthEntry {
        status: HealthStatus::Inaccessible,
        reason: HealthReason::NoPath,
        message: format!("no path to {nqn} is usable: {states}"),
    }
}
