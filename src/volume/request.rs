//! What may be asked of [`Volumes`](super::Volumes): plain data that was checked when it was made.
//!
//! Invariant: paths of kubelet are used as they are, they are not below the root of the machine:
//! kubelet's directory is mounted at the same place inside as outside of the container.

use std::path::PathBuf;

use nvme_fabrics::Secret;
use serde::{Deserialize, Serialize};

pub use super::capability::{AccessMode, AccessType, Capability};
pub use super::source::{PathLossHold, Portal, Source};
pub use super::source_tuning::SourceTuning;
pub use super::volume_id::{ParseVolumeIdError, VolumeId};
pub use crate::host::{FilesystemType, MountFlag, MultiMount, ParseMountFlagError};
pub use crate::report::outcome::{ClaimRef, PodRef};

/// Makes a volume available on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageRequest {
    /// Which volume.
    pub volume_id: VolumeId,
    /// Where its filesystem is mounted; for a raw block volume nothing is put there.
    pub staging_target_path: PathBuf,
    /// How it will be used.
    pub capability: Capability,
    /// Where it comes from.
    pub source: Source,
    /// Keys for its controllers.
    pub secrets: Secrets,
    /// Whether its filesystem must refuse a second mount.
    pub multi_mount: MultiMount,
    /// The claim that is bound to it, where the volume context names it.
    pub claim: Option<ClaimRef>,
}

/// DH-HMAC-CHAP keys of one source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    /// By which this host proves itself.
    pub dhchap_secret: Option<Secret>,
    /// By which the controllers prove themselves.
    pub dhchap_ctrl_secret: Option<Secret>,
}

/// Takes a volume off this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnstageRequest {
    /// Which volume.
    pub volume_id: VolumeId,
    /// Where it was staged.
    pub staging_target_path: PathBuf,
}

/// Gives a staged volume to a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishRequest {
    /// Which volume.
    pub volume_id: VolumeId,
    /// Where it is staged.
    pub staging_target_path: PathBuf,
    /// Where the pod will find it.
    pub target_path: PathBuf,
    /// How the pod will use it.
    pub capability: Capability,
    /// Whether the pod may write.
    pub readonly: Readonly,
    /// Whose volume it is, where kubelet said so.
    pub pod: Option<PodRef>,
}

/// The field `readonly` of NodePublishVolume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readonly {
    /// The pod may only read.
    Yes,
    /// The pod may write if the access mode allows it.
    No,
}

/// Takes a volume from a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpublishRequest {
    /// Which volume.
    pub volume_id: VolumeId,
    /// Where the pod found it.
    pub target_path: PathBuf,
}

/// Lets a volume use the size that its namespace has grown to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpandRequest {
    /// Which volume.
    pub volume_id: VolumeId,
    /// Where it is staged, published, or otherwise seen.
    pub volume_path: PathBuf,
    /// Where it is staged, where the caller says so.
    pub staging_target_path: Option<PathBuf>,
    /// Size in bytes that it must have at least.
    pub required_bytes: Option<u64>,
    /// Size in bytes that it must not exceed.
    pub limit_bytes: Option<u64>,
}

impl Readonly {
    /// Whether a pod that asked for this may only read, given the mode of the volume.
    #[must_use]
    pub fn applies(self, mode: AccessMode) -> bool {
        self == Readonly::Yes || mode.is_reader_only()
    }
}
