//! What users should hear of a volume.

use serde::{Deserialize, Serialize};

/// What has happened, in the words that users look for in events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A volume could not be given to a pod.
    MountFailure,
    /// What is stale could not be mounted anew.
    RecoveryFailed,
    /// A mount leads nowhere, or elsewhere.
    StaleMountDetected,
    /// It was mounted anew.
    StaleMountRecovered,
    /// No path is usable.
    PathLost,
    /// One is usable again.
    PathRestored,
    /// A controller could not be connected.
    ConnectionFailure,
    /// A controller serves no namespace.
    OrphanDetected,
    /// It does again, or is gone.
    OrphanCleaned,
    /// Another namespace stands where the volume was.
    IdentityMismatch,
    /// Its I/O may wait where it is sent to whatever stands behind the name after a loss.
    NotHeld,
    /// Reads or writes of some blocks fail at the target.
    MediaError,
    /// What was not written before a volume was cut off.
    DataLost,
}

/// Whether somebody has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It informs.
    Normal,
    /// It needs action.
    Warning,
}

/// How much it matters that it is heard, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It informs.
    Informs,
    /// Somebody has to act.
    NeedsAction,
    /// Data may be wrong or lost.
    DataSafety,
}

/// Something that happened to a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The volume, by the name that kubelet gave.
    pub volume_id: String,
    /// Its claim, where that is known.
    pub claim: Option<ClaimRef>,
    /// The pods that have it.
    pub pods: Vec<PodRef>,
    /// What happened.
    pub reason: Reason,
    /// What was seen, for people. It holds no secret.
    pub message: String,
}

/// A PersistentVolumeClaim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The pod that kubelet names in the volume context (`podInfoOnMount`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PodRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID, where kubelet said that too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

impl Reason {
    /// The word in events, logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::MountFailure => "MountFailure",
            Reason::RecoveryFailed => "RecoveryFailed",
            Reason::StaleMountDetected => "StaleMountDetected",
            Reason::StaleMountRecovered => "StaleMountRecovered",
            Reason::PathLost => "PathLost",
            Reason::PathRestored => "PathRestored",
            Reason::ConnectionFailure => "ConnectionFailure",
            Reason::OrphanDetected => "OrphanDetected",
            Reason::OrphanCleaned => "OrphanCleaned",
            Reason::IdentityMismatch => "IdentityMismatch",
            Reason::NotHeld => "NotHeld",
            Reason::MediaError => "MediaError",
            Reason::DataLost => "DataLost",
        }
    }

    /// Whether it needs action.
    #[must_use]
    pub fn severity(self) -> Severity {
        match self {
            Reason::MountFailure
            | Reason::RecoveryFailed
            | Reason::PathLost
            | Reason::ConnectionFailure
            | Reason::IdentityMismatch
            | Reason::NotHeld
            | Reason::MediaError
            | Reason::DataLost => Severity::Warning,
            Reason::StaleMountDetected
            | Reason::StaleMountRecovered
            | Reason::PathRestored
            | Reason::OrphanDetected
            | Reason::OrphanCleaned => Severity::Normal,
        }
    }

    /// How much it matters that it is heard.
    #[must_use]
    pub fn weight(self) -> Weight {
        match (self, self.severity()) {
            // A write that fails at the target is lost, too.
            (Reason::IdentityMismatch | Reason::DataLost | Reason::MediaError, _) => {
                Weight::DataSafety
            }
            (_, Severity::Warning) => Weight::NeedsAction,
            (_, Severity::Normal) => Weight::Informs,
        }
    }
}

impl Severity {
    /// The type of an event.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Normal => "Normal",
            Severity::Warning => "Warning",
        }
    }
}
