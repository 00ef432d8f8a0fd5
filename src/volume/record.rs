//! What this node knows about a volume, kept on disk: `STATE/volumes/VOLUME_ID/record.json`.
//!
//! A record is written before the first side effect that it describes and removed after the last
//! one is undone, so that whatever a killed process left is found again. Its JSON is strict: another
//! version or an unknown field is an error and not half a record. Secrets lie beside it in a file of
//! their own.
//!
//! A running node is upgraded under its volumes: a field that is added later has `#[serde(default)]`, so that what an
//! earlier version wrote stays readable. `fixtures/records` keeps such records.
//!
//! Invariant: a record of another boot says nothing about mounts and controllers. All that counts of
//! it is [`Phase::Interrupted`]: the namespace may hold half a filesystem that we began to make.

mod error;
mod gone;
mod secrets;
mod store;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use nvme_sysfs::{Nqn, Uuid};
use serde::{Deserialize, Serialize};

use super::capability::{AccessType, Capability};
use super::hold::Hold;
use super::identity::{Disk, VolumeIdentity};
use super::request::{ClaimRef, PodRef, Readonly};
use super::source::Source;
use super::text;
use super::volume_id::VolumeId;
use crate::host::mountinfo::MountTable;
use crate::host::{FilesystemType, MapId, MountAccess, MountFlag};

pub use error::RecordError;
pub use store::{Complete, Records};

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
    /// How its I/O is kept waiting; absent until that is decided, before anything is connected.
    pub hold: Option<Hold>,
    /// The claim that is bound to it, where that was said.
    pub claim: Option<ClaimRef>,
    /// The pods that have it.
    pub publications: Vec<Publication>,
}

/// How far a volume has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Phase {
    /// Controllers may have been connected.
    Attaching,
    /// The namespace is known; its map may have been made, and its filesystem may have been mounted.
    Attached(VolumeIdentity),
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
    /// What is mounted and published: the disk as which the namespace appeared, or the map's.
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
    /// The flags of its mount.
    pub flags: Vec<MountFlag>,
    /// The disk that it shows. A bind mount of a device node keeps the node, not the disk: the
    /// number may belong to another disk by now.
    pub disk: Disk,
    /// The pod, where kubelet named it.
    pub pod: Option<PodRef>,
    /// A repair takes its mount away, or has: where none is, it still has to be given back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
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
            hold: None,
            claim: None,
            publications: Vec::new(),
        }
    }

    /// The pods that have it, each once.
    #[must_use]
    pub fn pods(&self) -> Vec<PodRef> {
        let mut pods: Vec<PodRef> = Vec::new();
        for pod in self.publications.iter().filter_map(|p| p.pod.as_ref()) {
            if !pods.contains(pod) {
                pods.push(pod.clone());
            }
        }
        pods
    }

    /// The namespace, as far as it is known.
    #[must_use]
    pub fn identity(&self) -> Option<&VolumeIdentity> {
        match &self.phase {
            Phase::Attaching => None,
            Phase::Attached(identity) => Some(identity),
            Phase::Formatting(unfinished) | Phase::Interrupted(unfinished) => {
                Some(&unfinished.identity)
            }
            Phase::Staged(staged) => Some(&staged.identity),
        }
    }

    /// The map that holds its I/O, if one does.
    #[must_use]
    pub fn map(&self) -> Option<MapId> {
        self.hold.as_ref().and_then(Hold::map)
    }

    /// What was staged, if it was.
    #[must_use]
    pub fn staged(&self) -> Option<&Staged> {
        match &self.phase {
            Phase::Staged(staged) => Some(staged),
            Phase::Attaching
            | Phase::Attached(_)
            | Phase::Formatting(_)
            | Phase::Interrupted(_) => None,
        }
    }

    /// The unfinished filesystem, if there is one.
    #[must_use]
    pub fn unfinished(&self) -> Option<&Unfinished> {
        match &self.phase {
            Phase::Formatting(unfinished) | Phase::Interrupted(unfinished) => Some(unfinished),
            Phase::Attaching | Phase::Attached(_) | Phase::Staged(_) => None,
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

    /// Whether nobody may write through its map: the namespace refuses writes, other nodes read it, or
    /// it is a raw disk for readers, whose node no mount protects.
    #[must_use]
    pub fn is_map_read_only(&self, namespace: Option<bool>) -> bool {
        let mode = self.capability.mode;
        let is_for_readers = match self.capability.access {
            AccessType::Block => mode.is_reader_only(),
            AccessType::Filesystem { .. } => {
                self.capability.mount_access() == MountAccess::ReadOnlyShared
            }
        };
        namespace == Some(true) || is_for_readers
    }

    /// What users hear of bad blocks of this volume.
    #[must_use]
    pub fn describe_media_error(&self) -> String {
        let disk = self.staged().map(|staged| staged.disk.to_string());
        let disk = disk.unwrap_or_else(|| "its disk".to_owned());
        let nqn = &self.source.nqn;
        format!(
            "reads or writes of some blocks of {disk} fail at the target {nqn}; who sent them gets the errors"
        )
    }

    /// The publication at this place.
    #[must_use]
    pub fn find_publication(&self, target_path: &Path) -> Option<&Publication> {
        self.publications
            .iter()
            .find(|publication| publication.target_path == target_path)
    }

    /// Forgets the publications whose place is gone: they were taken away when the record could not be written. Where only
    /// the mount is missing the pod may still have it, as far as the record is asked.
    pub fn forget_gone(&mut self, mounts: &MountTable) {
        self.publications.retain(|publication| {
            let target = &publication.target_path;
            // Where nothing is mounted, nothing answers but kubelet's own directory.
            let is_gone = || match fs::symlink_metadata(target) {
                Err(error) => error.kind() == ErrorKind::NotFound,
                Ok(_) => false,
            };
            mounts.find_mount_at(target).is_some() || !is_gone()
        });
    }

    /// What is left of the record once nothing of the volume is on this node any more.
    pub(super) fn remainder(self) -> Option<StageRecord> {
        let unfinished = self.unfinished()?.clone();
        Some(StageRecord {
            phase: Phase::Interrupted(unfinished),
            hold: None,
            publications: Vec::new(),
            ..self
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Whether everything of `old` is in `new`, which may have more.
    fn is_kept(old: &Value, new: &Value) -> bool {
        match (old, new) {
            (Value::Object(old), Value::Object(new)) => old
                .iter()
                .all(|(key, value)| new.get(key).is_some_and(|new| is_kept(value, new))),
            (Value::Array(old), Value::Array(new)) => {
                old.len() == new.len() && old.iter().zip(new).all(|(old, new)| is_kept(old, new))
            }
            _ => old == new,
        }
    }

    #[test]
    fn what_earlier_versions_wrote_stays_readable() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/records");
        let entries = fs::read_dir(directory).expect("the records");
        let mut read = 0;
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            let text = fs::read_to_string(&path).expect("a file");
            let record = serde_json::from_str::<StageRecord>(&text);
            let record = record.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let old = serde_json::from_str(&text).expect("json");
            let new = serde_json::to_value(&record).expect("json");
            assert!(is_kept(&old, &new), "{}: {new:#}", path.display());
            read += 1;
        }
        assert_eq!(read, 3);
    }
}
