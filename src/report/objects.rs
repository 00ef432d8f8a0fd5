//! On which objects of the cluster an outcome is shown: the claim of the volume, and its pods.

use std::collections::VecDeque;

use k8s_openapi::api::core::v1::ObjectReference;

use super::claims::Claim;
use super::outcome::PodRef;

/// What events are about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Object {
    pub(super) kind: &'static str,
    pub(super) namespace: String,
    pub(super) name: String,
    /// `kubectl describe` shows only events with the UID of the object.
    pub(super) uid: Option<String>,
}

/// On what an outcome is to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// On this.
    Object(Object),
    /// On the claim, which is to be found.
    Claim,
}

impl Object {
    /// A claim.
    pub(super) fn claim(claim: Claim) -> Object {
        Object {
            kind: "PersistentVolumeClaim",
            namespace: claim.namespace,
            name: claim.name,
            uid: claim.uid,
        }
    }

    /// A pod.
    pub(super) fn pod(pod: &PodRef) -> Object {
        Object {
            kind: "Pod",
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
        }
    }

    /// How an event names it.
    pub(super) fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some(self.kind.to_owned()),
            namespace: Some(self.namespace.clone()),
            name: Some(self.name.clone()),
            uid: self.uid.clone(),
            ..ObjectReference::default()
        }
    }
}

/// The claim first, if it is known; one that has to be found keeps nothing from the pods.
pub(super) fn targets(claim: Option<Option<Claim>>, pods: &[PodRef]) -> VecDeque<Target> {
    let mut targets: VecDeque<Target> = pods.iter().map(Object::pod).map(Target::Object).collect();
    match claim {
        Some(Some(claim)) => targets.push_front(Target::Object(Object::claim(claim))),
        Some(None) => {}
        None => targets.push_back(Target::Claim),
    }
    targets
}
