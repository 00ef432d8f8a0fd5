//! What the form for programs has beyond nvme-cli's: the volumes of the node plugin.
//!
//! Invariant: where no volume is staged, the text is nvme-cli's own.

use serde::Serialize;

use crate::volume::{HealthEntry, Hold, Surveyed};

/// A volume that is staged here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct HostVolume {
    #[serde(rename = "VolumeID")]
    id: String,
    #[serde(rename = "NQN")]
    nqn: String,
    /// `dm`, `native` or `none`.
    #[serde(rename = "Hold")]
    hold: Option<&'static str>,
    /// The disk of its map.
    #[serde(rename = "Map")]
    map: Option<String>,
    /// The disk of its namespace.
    #[serde(rename = "Device")]
    device: Option<String>,
    #[serde(rename = "UsablePaths")]
    usable_paths: usize,
    #[serde(rename = "Findings")]
    findings: Vec<HostFinding>,
}

/// Something that is wrong with a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct HostFinding {
    reason: &'static str,
    message: String,
}

impl From<Surveyed> for HostVolume {
    fn from(volume: Surveyed) -> HostVolume {
        HostVolume {
            id: volume.volume_id.to_string(),
            nqn: volume.nqn.to_string(),
            hold: volume.hold.as_ref().map(Hold::as_str),
            map: volume.map_disk,
            device: volume.disk,
            usable_paths: volume.usable_paths,
            findings: volume.findings.into_iter().map(HostFinding::from).collect(),
        }
    }
}

impl From<HealthEntry> for HostFinding {
    fn from(entry: HealthEntry) -> HostFinding {
        HostFinding {
            reason: entry.reason.as_str(),
            message: entry.message,
        }
    }
}
