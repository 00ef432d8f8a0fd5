//! What this node knows about a volume, kept on disk: `STATE/volumes/VOLUME_ID/record.json`.
//!
//! A record is written before the first side effect that it describes and removed after the last
//! one is undone, so that whatever a killed process left is found again. Its JSON is strict: another
//! version or an unknown field is an error and not half a record. Secrets lie beside it in a file of
//! their own.
//!
//! Invariant: a record of another boot says nothing about mounts and controllers. All that counts of
//! it is [`Phase::Interrupted`]: the namespace may hold half a filesystem that we began to make.

mod secrets;
mod store;

use std::path::{Path, PathBuf};

use nvme_sysfs::{Nqn, Uuid};
use serde::{Deserialize, Serialize};

use super::capability::Capability;
use super::identity::{Disk, VolumeIdentity};
use super::request::{PodRef, Readonly};
use super::source::Source;
use super::text;
use super::volume_id::VolumeId;
use crate::host::FilesystemType;

pub use store::{RecordError, Records};

/// One volume on this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageRecord {
    /// Form of the file.
    pub(super) version: u32,
    /// Whose record it is.
    pub volume_id: VolumeId,
    /// The boot in which it was written.
    #[serde(with = "text")]
    pub boot_id: Uuid,
    /// How far it has come.
    pub phase: Phase,
    /// Where it is staged.
    pub staging_target_path: PathBuf,
    /// How it is used.
    pub capability: Capability,
    /// Where it comes from.
    pub source: Source,
    /// The pods that have it.
    pub publications: Vec<Publication>,
}

/// How far a volume has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Phase {
    /// Controllers may have been connected and the filesystem may have been mounted.
    Attaching,
    /// A filesystem is being made: the namespace was blank, and nothing of it was ever mounted.
    Formatting(Unfinished),
    /// It can be published.
    Staged(Staged),
    /// Nothing of the volume is left on this node, but its namespace may hold a part of a filesystem
    /// that was being made.
    Interrupted(Unfinished),
}

/// A filesystem that was not yet made completely.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unfinished {
    /// On which namespace.
    pub identity: VolumeIdentity,
    /// Of which type.
    pub fs: FilesystemType,
}

/// What was staged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Staged {
    /// The namespace.
    pub identity: VolumeIdentity,
    /// The disk as which it appeared.
    pub disk: Disk,
}

/// A place where a pod finds the volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publication {
    /// The place.
    pub target_path: PathBuf,
    /// Whether the pod may only read.
    pub readonly: Readonly,
    /// The disk that it shows. A bind mount of a device node keeps the node, not the disk: the
    /// number may belong to another disk by now.
    pub disk: Disk,
    /// The pod, where kubelet named it.
    pub pod: Option<PodRef>,
}

impl StageRecord {
    /// The only form so far.
    const VERSION: u32 = 1;

    /// A record of a volume of which nothing has been done yet.
    pub(super) fn new(
        volume_id: VolumeId,
        boot_id: Uuid,
        staging_target_path: &Path,
        capability: Capability,
        source: Source,
    ) -> StageRecord {
        StageRecord {
            version: StageRecord::VERSION,
            volume_id,
            boot_id,
            phase: Phase::Attaching,
            staging_target_path: staging_target_path.to_owned(),
            capability,
            source,
            publications: Vec::new(),
        }
    }

    /// What was staged, if it was.
    #[must_use]
    pub fn staged(&self) -> Option<&Staged> {
        match &self.phase {
            Phase::Staged(staged) => Some(staged),
            Phase::Attaching | Phase::Formatting(_) | Phase::Interrupted(_) => None,
        }
    }

    /// The unfinished filesystem, if there is one.
    #[must_use]
    pub fn unfinished(&self) -> Option<&Unfinished> {
        match &self.phase {
            Phase::Formatting(unfinished) | Phase::Interrupted(unfinished) => Some(unfinished),
            Phase::Attaching | Phase::Staged(_) => None,
        }
    }

    /// Whether the volume may have something on this node: controllers or mounts.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !matches!(self.phase, Phase::Interrupted(_))
    }

    /// Whether the volume needs controllers of this subsystem.
    #[must_use]
    pub fn wants(&self, nqn: &Nqn) -> bool {
        self.is_active() && self.source.nqn == *nqn
    }

    /// The publication at this place.
    #[must_use]
    pub fn find_publication(&self, target_path: &Path) -> Option<&Publication> {
        self.publications
            .iter()
            .find(|publication| publication.target_path == target_path)
    }

    /// What is left of the record once nothing of the volume is on this node any more.
    pub(super) fn remainder(self) -> Option<StageRecord> {
        let unfinished = self.unfinished()?.clone();
        Some(StageRecord {
            phase: Phase::Interrupted(unfinished),
            publications: Vec::new(),
            ..self
        })
    }
}
