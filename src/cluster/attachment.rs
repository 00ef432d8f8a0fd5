//! A VolumeAttachment: that a node shall have a volume, and how far that is.

use k8s_openapi::jiff::Timestamp;
use kube::core::Object;
use serde::Deserialize;

use super::Wanted;

/// Where the attacher writes what the node calls itself, before it asks the controller.
const NODE_ID: &str = "csi.alpha.kubernetes.io/node-id";
/// How the attacher's finalizers begin. It stays until the volume is detached.
const FINALIZER: &str = "external-attacher/";

/// The object as the API server gives it, of which only this is read.
pub(super) type Raw = Object<RawSpec, RawStatus>;

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawSpec {
    pub(super) attacher: String,
    pub(super) node_name: String,
    pub(super) source: RawSource,
}

/// What is attached: a PersistentVolume by its name, or (of migrated drivers) written out.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawSource {
    pub(super) persistent_volume_name: Option<String>,
    pub(super) inline_volume_spec: Option<VolumeSpec>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct RawStatus {
    #[serde(default)]
    attached: bool,
}

/// Of a PersistentVolume, what is read of it.
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
    pub(super) driver: String,
    pub(super) volume_handle: String,
}

/// That a node shall have, or has, the volume in question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attachment {
    /// The name of the node in the cluster.
    pub(super) node: String,
    /// What the node calls itself, once the attacher has begun.
    pub(super) node_id: Option<String>,
    /// How far it is.
    pub(super) state: State,
    /// Whether the volume is promised to one node alone.
    pub(super) is_exclusive: bool,
    /// When it was made, and its UID where two were made in the same second.
    pub(super) made: (Option<Timestamp>, String),
}

/// How far an attachment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It was asked for.
    Pending,
    /// The node has the volume.
    Attached,
    /// It is going away, and the node may still have the volume.
    Detaching,
    /// It is going away, and the node does not have the volume.
    Detached,
}

impl VolumeSpec {
    /// Whether no access mode lets several nodes have it.
    pub(super) fn is_exclusive(&self) -> bool {
        let is_shared = |mode: &String| matches!(mode.as_str(), "ReadWriteMany" | "ReadOnlyMany");
        !self.access_modes.iter().any(is_shared)
    }
}

impl Attachment {
    /// Reads it; `is_exclusive` is said by its PersistentVolume.
    pub(super) fn new(raw: Raw, is_exclusive: bool) -> Attachment {
        let state = state(&raw);
        let metadata = raw.metadata;
        let node_id = metadata.annotations.and_then(|mut all| all.remove(NODE_ID));
        let made = metadata.creation_timestamp.map(|time| time.0);
        Attachment {
            node: raw.spec.node_name,
            node_id,
            state,
            is_exclusive,
            made: (made, metadata.uid.unwrap_or_default()),
        }
    }

    /// Whether it is about the node that is asked for.
    pub(super) fn is_of(&self, wanted: &Wanted) -> bool {
        self.node == wanted.node || self.node_id.as_ref() == Some(&wanted.node_id)
    }
}

/// The attacher takes its finalizer away when the volume is detached, and writes the status after
/// that. What is going away and has either may still be attached.
fn state(raw: &Raw) -> State {
    let is_attached = raw.status.as_ref().is_some_and(|status| status.attached);
    let mut finalizers = raw.metadata.finalizers.iter().flatten();
    let is_held = finalizers.any(|name| name.starts_with(FINALIZER));
    match (raw.metadata.deletion_timestamp.is_some(), is_attached) {
        (false, false) => State::Pending,
        (false, true) => State::Attached,
        (true, true) => State::Detaching,
        (true, false) if is_held => State::Detaching,
        (true, false) => State::Detached,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn state_of(metadata: &Value, status: &Value) -> State {
        let object = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment",
            "metadata": metadata,
            "spec": {
                "attacher": "test.csi", "nodeName": "worker-1",
                "source": { "persistentVolumeName": "data" },
            },
            "status": status,
        });
        state(&serde_json::from_value(object).expect("an attachment"))
    }

    #[test]
    fn an_attachment_lasts_until_the_attacher_lets_it_go() {
        let deleted = "2026-01-01T00:00:00Z";
        let held = ["external-attacher/test-csi"];
        for (metadata, status, expected) in [
            (json!({ "name": "a" }), Value::Null, State::Pending),
            (
                json!({ "name": "a", "finalizers": held }),
                json!({ "attached": false }),
                State::Pending,
            ),
            (
                json!({ "name": "a" }),
                json!({ "attached": true }),
                State::Attached,
            ),
            (
                json!({ "name": "a", "deletionTimestamp": deleted, "finalizers": held }),
                json!({ "attached": false }),
                State::Detaching,
            ),
            (
                json!({ "name": "a", "deletionTimestamp": deleted, "finalizers": ["a/b"] }),
                json!({ "attached": true }),
                State::Detaching,
            ),
            (
                json!({ "name": "a", "deletionTimestamp": deleted, "finalizers": ["a/b"] }),
                json!({ "attached": false }),
                State::Detached,
            ),
        ] {
            assert_eq!(
                state_of(&metadata, &status),
                expected,
                "{metadata} {status}"
            );
        }
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
            let spec = json!({ "accessModes": modes });
            let spec: VolumeSpec = serde_json::from_value(spec).expect("a volume");
            assert_eq!(spec.is_exclusive(), expected, "{modes}");
        }
    }
}
