//! On which objects of the cluster an outcome is shown: the claim of the volume, and its pods.
//!
//! A claim that nobody named is looked for among the PersistentVolumes. Invariants: each question to
//! the API server has an end; what it does not answer is shown with less, and never fails anything.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim, Pod};
use kube::api::{ApiResource, DynamicObject, ListParams, NotUsed};
use kube::{Api, Client};
use serde::Deserialize;
use thiserror::Error;
use tokio::time::{Instant, timeout};

use super::outcome::{ClaimRef, PodRef};
use crate::causes::chain;

/// How long the API server may take for one answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long the claim of a volume is remembered, and that it has none.
const REMEMBER: Duration = Duration::from_secs(600);
/// How long it is not asked for again after the API server did not tell.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// How many PersistentVolumes come in one answer: it is held in memory as a whole.
const PAGE: u32 = 100;
/// How many volumes are remembered at most.
const MOST: usize = 1024;

/// What events are about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Object {
    pub(super) kind: &'static str,
    pub(super) namespace: String,
    pub(super) name: String,
}

/// Why the API server did not do what it was asked.
#[derive(Debug, Error)]
pub enum ApiError {
    /// It takes too long.
    #[error("the API server does not answer")]
    Late,
    /// It refused, or cannot be reached.
    #[error("the API server cannot be asked")]
    Call(#[source] Box<kube::Error>),
}

/// A PersistentVolume, of which only this is read: the whole of it is a hundred types.
type Volume = kube::core::Object<VolumeSpec, NotUsed>;

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct VolumeSpec {
    csi: Option<CsiSource>,
    claim_ref: Option<ObjectReference>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CsiSource {
    driver: String,
    volume_handle: String,
}

/// The claims of the volumes of one driver.
#[derive(Debug)]
pub(super) struct Claims {
    driver: String,
    known: HashMap<String, (Option<ClaimRef>, Instant)>,
}

impl ApiError {
    /// Whether the object that was asked for does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        self.has_code(&[404])
    }

    /// Whether this program may not ask that: it has no rights, or no valid token.
    pub(crate) fn is_refused(&self) -> bool {
        self.has_code(&[401, 403])
    }

    fn has_code(&self, codes: &[u16]) -> bool {
        match self {
            ApiError::Late => false,
            ApiError::Call(error) => {
                matches!(error.as_ref(), kube::Error::Api(status) if codes.contains(&status.code))
            }
        }
    }
}

/// Waits for an answer of the API server, for a while.
pub(crate) async fn ask<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
    match timeout(DEADLINE, call).await {
        Ok(answer) => answer.map_err(|error| ApiError::Call(Box::new(error))),
        Err(_) => Err(ApiError::Late),
    }
}

impl Object {
    /// A claim.
    pub(super) fn claim(claim: ClaimRef) -> Object {
        Object {
            kind: "PersistentVolumeClaim",
            namespace: claim.namespace,
            name: claim.name,
        }
    }

    /// A pod.
    pub(super) fn pod(pod: &PodRef) -> Object {
        Object {
            kind: "Pod",
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
        }
    }

    /// How an event names it. `kubectl describe` shows only events with the UID of the object.
    pub(super) async fn reference(&self, client: &Client) -> ObjectReference {
        let uid = match self.uid(client).await {
            Ok(uid) => uid,
            Err(error) => {
                let (kind, name, error) = (self.kind, &self.name, chain(&error));
                tracing::debug!(kind, name, error, "an event is posted without a UID");
                None
            }
        };
        ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some(self.kind.to_owned()),
            namespace: Some(self.namespace.clone()),
            name: Some(self.name.clone()),
            uid,
            ..ObjectReference::default()
        }
    }

    async fn uid(&self, client: &Client) -> Result<Option<String>, ApiError> {
        let resource = if self.kind == "Pod" {
            ApiResource::erase::<Pod>(&())
        } else {
            ApiResource::erase::<PersistentVolumeClaim>(&())
        };
        let objects: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), &self.namespace, &resource);
        Ok(ask(objects.get_metadata(&self.name)).await?.metadata.uid)
    }
}

impl Claims {
    /// Nothing is known yet.
    pub(super) fn of(driver: String) -> Claims {
        let known = HashMap::new();
        Claims { driver, known }
    }

    /// The claim that is bound to a volume, if that can be told.
    pub(super) async fn find(&mut self, client: &Client, volume_id: &str) -> Option<ClaimRef> {
        let now = Instant::now();
        self.known.retain(|_, (_, until)| now < *until);
        if let Some((claim, _)) = self.known.get(volume_id) {
            return claim.clone();
        }
        let (claim, until) = match self.look_up(client, volume_id).await {
            Ok(claim) => (claim, now + REMEMBER),
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(volume_id, error, "the claim of a volume cannot be found");
                (None, now + ASK_AGAIN)
            }
        };
        if self.known.len() < MOST {
            let volume_id = volume_id.to_owned();
            self.known.insert(volume_id, (claim.clone(), until));
        }
        claim
    }

    async fn look_up(
        &self,
        client: &Client,
        volume_id: &str,
    ) -> Result<Option<ClaimRef>, ApiError> {
        let resource = ApiResource::erase::<PersistentVolume>(&());
        let volumes: Api<Volume> = Api::all_with(client.clone(), &resource);
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let list = ask(volumes.list(&page)).await?;
            for Volume { spec, .. } in list.items {
                if self.is_of(&spec, volume_id) {
                    return Ok(spec.claim_ref.and_then(claim_of));
                }
            }
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(None),
            }
        }
    }

    fn is_of(&self, spec: &VolumeSpec, volume_id: &str) -> bool {
        let source = spec.csi.as_ref();
        source.is_some_and(|csi| csi.driver == self.driver && csi.volume_handle == volume_id)
    }
}

fn claim_of(object: ObjectReference) -> Option<ClaimRef> {
    Some(ClaimRef {
        namespace: object.namespace?,
        name: object.name?,
    })
}
