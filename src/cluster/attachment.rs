//! A VolumeAttachment: that a node shall have a volume, and how far that is.

use std::fmt;

use k8s_openapi::jiff::Timestamp;

use super::Wanted;
use super::node_id::{NodeId, NodeName};
use super::objects::{AttachmentObject, Source};

/// Where the attacher writes what the node calls itself, before it asks the controller.
const NODE_ID: &str = "csi.alpha.kubernetes.io/node-id";
/// How the attacher's finalizers begin. It sets one before it asks the controller for the first time,
/// and takes it away when the volume is detached (`csiAttach` and `csiDetach` in
/// pkg/controller/csi_handler.go).
const FINALIZER: &str = "external-attacher/";

/// When an attachment was made, and its UID where two were made in the same second. The order of two
/// is that of their making, as far as the clocks of the API servers agree.
pub(super) type Made = (Option<Timestamp>, String);

/// An attachment of whatever volume, as it is listed.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    /// Its name.
    pub(super) name: String,
    /// What is attached.
    pub(super) source: Source,
    /// To which node.
    pub(super) node: NodeName,
    node_id: Option<NodeId>,
    state: State,
    made: Made,
}

/// That a node shall have, or has, the volume in question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attachment {
    /// The name of the node in the cluster.
    pub(super) node: NodeName,
    /// What the node calls itself, once the attacher has begun.
    pub(super) node_id: Option<NodeId>,
    /// How far it is.
    pub(super) state: State,
    /// When it was made.
    pub(super) made: Made,
    /// Why the volume is for one node alone, if it is.
    pub(super) alone: Option<Alone>,
}

/// How far an attachment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It was asked for, and no controller was asked.
    New,
    /// A controller may have been asked, and may have admitted the node.
    Pending,
    /// The node has the volume.
    Attached,
    /// It is going away, and the node may still have the volume.
    Detaching,
    /// It is going away, and the node does not have the volume.
    Detached,
}

/// Why a volume is for one node at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alone {
    /// The mode that is asked for is one for one node; its name in the CSI.
    Mode(&'static str),
    /// A PersistentVolume of this name has no access mode for several nodes.
    Volume(String),
    /// An attachment of this name has no access mode for several nodes, and no PersistentVolume.
    Inline(String),
    /// The PersistentVolume of this name, by which it was attached, is not there any more as it was.
    Lost(String),
}

impl fmt::Display for Alone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Alone::Mode(mode) => write!(f, "access mode {mode} allows one node at a time"),
            Alone::Volume(name) => write!(f, "PersistentVolume {name} allows one node at a time"),
            Alone::Inline(name) => write!(f, "VolumeAttachment {name} allows one node at a time"),
            Alone::Lost(name) => write!(
                f,
                "it was attached there by PersistentVolume {name}, which names another volume or \
                 is gone, so perhaps for one node alone"
            ),
        }
    }
}

impl Listed {
    /// Keeps of it what is needed.
    pub(super) fn new(object: AttachmentObject) -> Listed {
        let state = state(&object);
        let metadata = object.metadata;
        let node_id = metadata.annotations.and_then(|mut all| all.remove(NODE_ID));
        Listed {
            name: metadata.name,
            source: object.spec.source,
            node: object.spec.node_name,
            // What is no ID of this driver is not that of a node which asks.
            node_id: node_id.and_then(|id| id.parse().ok()),
            state,
            made: (metadata.creation_timestamp.map(|time| time.0), metadata.uid),
        }
    }

    /// As one of the volume in question.
    pub(super) fn of_volume(self, alone: Option<Alone>) -> Attachment {
        Attachment {
            node: self.node,
            node_id: self.node_id,
            state: self.state,
            made: self.made,
            alone,
        }
    }
}

impl Attachment {
    /// Whether it is about the node that is asked for.
    pub(super) fn is_of(&self, wanted: &Wanted) -> bool {
        self.node == wanted.node_id.name || self.node_id.as_ref() == Some(&wanted.node_id)
    }

    /// Whether it is not known to be attached or to go away.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::New | State::Pending)
    }
}

/// The attacher takes its finalizer away when the volume is detached, and writes the status after
/// that. What is going away and has either may still be attached.
fn state(object: &AttachmentObject) -> State {
    let status = object.status.as_ref();
    let is_attached = status.is_some_and(|status| status.attached);
    let mut finalizers = object.metadata.finalizers.iter().flatten();
    let is_held = finalizers.any(|name| name.starts_with(FINALIZER));
    match (object.metadata.deletion_timestamp.is_some(), is_attached) {
        (false, false) if is_held => State::Pending,
        (false, false) => State::New,
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

    fn listed(metadata: &Value, status: &Value) -> Listed {
        let object = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment",
            "metadata": metadata,
            "spec": {
                "attacher": "test.csi", "nodeName": "worker-1",
                "source": { "persistentVolumeName": "data" },
            },
            "status": status,
        });
        Listed::new(serde_json::from_value(object).expect("an attachment"))
    }

    #[test]
    fn an_attachment_lasts_until_the_attacher_lets_it_go() {
        let deleted = "2026-01-01T00:00:00Z";
        let held = ["external-attacher/test-csi"];
        for (metadata, status, expected) in [
            (json!({ "name": "a" }), Value::Null, State::New),
            (
                json!({ "name": "a", "finalizers": ["a/b"] }),
                json!({ "attached": false }),
                State::New,
            ),
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
            let state = listed(&metadata, &status).state;
            assert_eq!(state, expected, "{metadata} {status}");
        }
    }

    #[test]
    fn the_nodes_own_id_is_read_and_another_drivers_is_none() {
        let of = |id: &str| {
            let metadata = json!({ "name": "a", "annotations": { NODE_ID: id } });
            listed(&metadata, &Value::Null).node_id
        };
        let id = "worker-1/nqn.2026-01.org.example:host";
        assert_eq!(of(id).expect("an ID").to_string(), id);
        assert_eq!(of("worker-1"), None);
    }
}
