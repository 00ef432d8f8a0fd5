//! The objects of the API server, of each only what is read here.
//!
//! A page of them is held for a moment only; what does not belong to the volume in question is
//! dropped with it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Deserialize;

use super::node_id::NodeName;

/// A VolumeAttachment.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct AttachmentObject {
    pub(super) metadata: Metadata,
    pub(super) spec: AttachmentSpec,
    #[serde(default)]
    pub(super) status: Option<AttachmentStatus>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) name: String,
    #[serde(default)]
    pub(super) uid: String,
    pub(super) creation_timestamp: Option<Time>,
    pub(super) deletion_timestamp: Option<Time>,
    pub(super) finalizers: Option<Vec<String>>,
    pub(super) annotations: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AttachmentSpec {
    pub(super) attacher: String,
    pub(super) node_name: NodeName,
    pub(super) source: Source,
}

/// What is attached: a PersistentVolume by its name, or (of migrated drivers) written out.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Source {
    pub(super) persistent_volume_name: Option<String>,
    pub(super) inline_volume_spec: Option<VolumeSpec>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct AttachmentStatus {
    #[serde(default)]
    pub(super) attached: bool,
}

/// A PersistentVolume.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct VolumeObject {
    pub(super) metadata: Named,
    pub(super) spec: VolumeSpec,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Named {
    pub(super) name: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VolumeSpec {
    pub(super) csi: Option<CsiSource>,
    #[serde(default)]
    access_modes: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CsiSource {
    driver: String,
    volume_handle: String,
}

/// What kubelet says of the drivers of its node: a CSINode.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct NodeObject {
    pub(super) spec: NodeSpec,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct NodeSpec {
    #[serde(default)]
    pub(super) drivers: Vec<NodeDriver>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct NodeDriver {
    pub(super) name: String,
    #[serde(rename = "nodeID")]
    pub(super) node_id: String,
}

impl VolumeSpec {
    /// Whether it is the volume of this driver with this handle.
    pub(super) fn is(&self, driver: &str, handle: &str) -> bool {
        let csi = self.csi.as_ref();
        csi.is_some_and(|csi| csi.driver == driver && csi.volume_handle == handle)
    }

    /// Whether no access mode lets several nodes have it.
    pub(super) fn is_exclusive(&self) -> bool {
        let is_shared = |mode: &String| matches!(mode.as_str(), "ReadWriteMany" | "ReadOnlyMany");
        !self.access_modes.iter().any(is_shared)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(value: Value) -> VolumeSpec {
        serde_json::from_value(value).expect("a volume")
    }

    #[test]
    fn a_volume_is_for_one_node_unless_a_mode_says_several() {
        for (modes, expected) in [
            (json!(["ReadWriteOnce"]), true),
            (json!(["ReadWriteOncePod"]), true),
            (json!([]), true),
            (json!(["ReadWriteOnce", "ReadWriteMany"]), false),
            (json!(["ReadOnlyMany"]), false),
        ] {
            let spec = spec(json!({ "accessModes": modes }));
            assert_eq!(spec.is_exclusive(), expected, "{modes}");
        }
    }

    #[test]
    fn a_volume_is_known_by_driver_and_handle() {
        let csi = json!({ "csi": { "driver": "test.csi", "volumeHandle": "volume-1" } });
        let ours = spec(csi);
        assert!(ours.is("test.csi", "volume-1"));
        assert!(!ours.is("test.csi", "volume-2"));
        assert!(!ours.is("other.csi", "volume-1"));
        assert!(!spec(json!({ "nfs": { "server": "a" } })).is("test.csi", "volume-1"));
    }
}
