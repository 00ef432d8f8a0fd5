//! How full a volume is.
//!
//! Invariants: a filesystem is asked only while the tree says that its disk is reached and is the
//! volume's; anything else answers with what was known last, because kubelet drops an answer without
//! usage and the condition with it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};

use rustix::io::Errno;
use thiserror::Error;

use super::capability::AccessType;
use super::capacity::{Unit, Usage};
use super::condition::HealthEntry;
use super::identity::Disk;
use super::mounts::{find_shown, is_node, serves, shows};
use super::place::{Place, find_place};
use super::record::{RecordError, StageRecord, Staged};
use super::sight::{LookError, Sight};
use super::standing::Standing;
use super::volume_id::VolumeId;
use super::volumes::Volumes;

/// Usage and condition of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Bytes, and inodes of a filesystem.
    pub usage: Vec<Usage>,
    /// Whether all is well.
    pub condition: Condition,
}

/// `VolumeCondition` as CSI 1.12 had it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Whether something is wrong.
    pub abnormal: bool,
    /// What it is, or that all is well.
    pub message: String,
}

/// Why there is no answer about a volume.
#[derive(Debug, Error)]
pub enum StatsError {
    /// The volume is not on this node.
    #[error("volume {volume_id} is not staged on this node")]
    NotFound {
        /// Which volume.
        volume_id: VolumeId,
    },
    /// The volume is not at this path.
    #[error("volume {volume_id} is not at {}", path.display())]
    NotThere {
        /// Which volume.
        volume_id: VolumeId,
        /// The path that was asked about.
        path: PathBuf,
    },
    /// The records cannot be read.
    #[error("cannot read what is staged here")]
    Record(#[from] RecordError),
    /// This node cannot be judged.
    #[error(transparent)]
    Look(#[from] LookError),
    /// The filesystem did not answer.
    #[error("statvfs({path:?})")]
    Statvfs {
        /// Where it is mounted.
        path: PathBuf,
        /// What the kernel answered.
        source: Errno,
    },
}

/// What can be asked how full the volume is.
#[derive(Debug, Clone, Copy)]
enum Healthy<'a> {
    /// A mounted filesystem.
    Filesystem(&'a Path),
    /// A disk of this many bytes.
    Block(u64),
}

impl Volumes {
    /// How full a volume is, and whether all is well with it.
    ///
    /// # Errors
    /// [`StatsError`].
    pub fn stats(&self, volume_id: &VolumeId, volume_path: &Path) -> Result<Stats, StatsError> {
        let mut record = self.ground.records.read(volume_id)?;
        let sight = self.look()?;
        if let Some(record) = &mut record {
            record.forget_gone(&sight.mounts);
        }
        let not_there = || StatsError::NotThere {
            volume_id: volume_id.clone(),
            path: volume_path.to_owned(),
        };
        let staged = record
            .as_ref()
            .and_then(|record| Some((record, record.staged()?)));
        let Some((record, staged)) = staged else {
            return measure_unknown(volume_id, &sight, volume_path);
        };
        let place = find_place(record, &sight.mounts, volume_path).ok_or_else(not_there)?;
        let usage = match find_healthy(record, &sight, (place, volume_path)) {
            Some(healthy) => self.remember(volume_id, measure(healthy)?),
            None => self.recall(volume_id, staged),
        };
        Ok(Stats {
            usage,
            condition: condition(&self.conditions(record, &sight)?),
        })
    }

    fn remember(&self, volume_id: &VolumeId, usage: Vec<Usage>) -> Vec<Usage> {
        self.last_usage().insert(volume_id.clone(), usage.clone());
        usage
    }

    fn recall(&self, volume_id: &VolumeId, staged: &Staged) -> Vec<Usage> {
        let known = self.last_usage().get(volume_id).cloned();
        known.unwrap_or_else(|| vec![size_only(staged.identity.size_bytes)])
    }

    /// Forgets what a volume answered.
    pub(super) fn forget_usage(&self, volume_id: &VolumeId) {
        self.last_usage().remove(volume_id);
    }

    fn last_usage(&self) -> MutexGuard<'_, HashMap<VolumeId, Vec<Usage>>> {
        // Each entry is whole whatever happened to the thread that held the lock.
        let last_usage = self.last_usage.lock();
        last_usage.unwrap_or_else(PoisonError::into_inner)
    }
}

fn find_healthy<'a>(
    record: &StageRecord,
    sight: &Sight,
    (place, path): (Place<'_>, &'a Path),
) -> Option<Healthy<'a>> {
    let standing = Standing::of(record, sight)?;
    let disk = standing.disk.as_ref().filter(|_| standing.is_reached())?;
    if let Place::Node(mount) = place {
        mount.filter(|mount| shows(mount, disk))?;
    }
    match record.capability.access {
        AccessType::Block => {
            let size = match (standing.map, standing.namespace()) {
                (Some(map), _) => map.size_bytes,
                (None, namespace) => namespace?.size_bytes,
            };
            Some(Healthy::Block(size))
        }
        AccessType::Filesystem { .. } => {
            let mount = sight.mounts.find_mount_at(path)?;
            let is_healthy = serves(mount, disk, record.capability.mount_access());
            is_healthy.then_some(Healthy::Filesystem(path))
        }
    }
}

/// A volume whose record is lost, for example with the state directory: what is mounted there tells
/// whether it is one, and which disk it is.
fn measure_unknown(volume_id: &VolumeId, sight: &Sight, path: &Path) -> Result<Stats, StatsError> {
    let healthy = find_unknown(sight, path).ok_or_else(|| StatsError::NotFound {
        volume_id: volume_id.clone(),
    })?;
    Ok(Stats {
        usage: measure(healthy)?,
        condition: condition(&[]),
    })
}

fn find_unknown<'a>(sight: &Sight, path: &'a Path) -> Option<Healthy<'a>> {
    let tree = sight.tree();
    let mount = sight.mounts.find_mount_at(path)?;
    let mut maps = sight.maps.iter();
    let map = maps.find(|map| shows(mount, &Disk::of_map(map)));
    let disk = match map {
        Some(map) => tree.find_namespace_by_dev(map.paths.first()?.dev)?,
        None => find_shown(mount, tree)?,
    };
    tree.subsystems.iter().find(|s| s.is_reachable(disk))?;
    Some(match is_node(mount) {
        true => Healthy::Block(map.map_or(disk.size_bytes, |map| map.size_bytes)),
        false => Healthy::Filesystem(path),
    })
}

fn measure(healthy: Healthy<'_>) -> Result<Vec<Usage>, StatsError> {
    let path = match healthy {
        Healthy::Block(size_bytes) => return Ok(vec![size_only(size_bytes)]),
        Healthy::Filesystem(path) => path,
    };
    let stat = rustix::fs::statvfs(path).map_err(|source| StatsError::Statvfs {
        path: path.to_owned(),
        source,
    })?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Ok(vec![
        Usage {
            unit: Unit::Bytes,
            total: bytes(stat.f_blocks),
            used: bytes(stat.f_blocks.saturating_sub(stat.f_bfree)),
            available: bytes(stat.f_bavail),
        },
        Usage {
            unit: Unit::Inodes,
            total: stat.f_files,
            used: stat.f_files.saturating_sub(stat.f_ffree),
            available: stat.f_favail,
        },
    ])
}

/// All that is known of a raw block device, or of a volume that cannot be asked.
fn size_only(size_bytes: u64) -> Usage {
    Usage {
        unit: Unit::Bytes,
        total: size_bytes,
        used: 0,
        available: 0,
    }
}

fn condition(entries: &[HealthEntry]) -> Condition {
    let messages: Vec<&str> = entries.iter().map(|entry| entry.message.as_str()).collect();
    let abnormal = !messages.is_empty();
    let message = if abnormal {
        messages.join("; ")
    } else {
        "the volume is healthy".to_owned()
    };
    Condition { abnormal, message }
}
