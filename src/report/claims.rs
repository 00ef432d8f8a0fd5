//! The claims of volumes, by the PersistentVolumes that are bound to them.
//!
//! A volume that comes to this node is looked up by the name of its PersistentVolume, which kubelet's
//! path holds, and is known as long as it is here. Only one that was never known is looked for among all
//! PersistentVolumes, together with all others that anything waits about; what is passed on the way of the same driver
//! is remembered, too. Invariants: what the API server does not answer is not remembered; nothing is asked before it is its
//! turn.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume};
use kube::api::{ApiResource, ListParams, NotUsed};
use kube::{Api, Client};
use serde::Deserialize;
use tokio::time::Instant;

use super::ask::{ApiError, ask_patiently};
use super::rate::Rate;

/// How long what was found in the list is remembered, and that there was nothing.
const REMEMBER: Duration = Duration::from_secs(600);
/// How many PersistentVolumes come in one answer: it is held in memory as a whole.
const PAGE: u32 = 100;
/// How many volumes are remembered at most.
const MOST: usize = 1024;
/// How many of them may be such that nobody has asked for yet. A cluster may have any number of volumes of this driver, and those of
/// this node need their places.
const PASSED: usize = MOST / 2;

/// A claim as events name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: Option<String>,
}

/// The claims of the volumes of one driver.
#[derive(Debug)]
pub(super) struct Claims {
    driver: String,
    known: HashMap<String, Known>,
    rate: Rate,
}

/// What is known of a volume, and until when; without a time as long as it is here.
#[derive(Debug)]
struct Known {
    claim: Option<Claim>,
    until: Option<Instant>,
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

impl Claims {
    /// Nothing is known yet.
    pub(super) fn of(driver: String) -> Claims {
        Claims {
            driver,
            known: HashMap::new(),
            rate: Rate::new(Instant::now()),
        }
    }

    /// The claim that is bound to a volume, or that there is none, where that is known.
    pub(super) fn known(&mut self, volume_id: &str) -> Option<Option<Claim>> {
        let now = Instant::now();
        let is_current = |known: &Known| known.until.is_none_or(|until| now < until);
        self.known.retain(|_, known| is_current(known));
        let known = self.known.get(volume_id)?;
        Some(known.claim.clone())
    }

    /// Looks at the PersistentVolume as which a volume came here.
    pub(super) async fn look_at(
        &mut self,
        client: &Client,
        volume_id: &str,
        pv: &str,
    ) -> Result<(), ApiError> {
        self.rate.wait().await;
        match ask_patiently(volumes(client).get(pv)).await {
            // Another volume's, where the name was not what it seemed.
            Ok(Volume { spec, .. }) if self.handle(&spec) != Some(volume_id) => Ok(()),
            Ok(Volume { spec, .. }) => {
                self.remember(volume_id, spec.claim_ref.and_then(claim_of), None);
                Ok(())
            }
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Looks for all of these volumes among the PersistentVolumes, and remembers those of this driver that are passed.
    pub(super) async fn look_for(
        &mut self,
        client: &Client,
        mut wanted: BTreeSet<String>,
    ) -> Result<(), ApiError> {
        wanted.retain(|volume_id| self.known(volume_id).is_none());
        let until = Some(Instant::now() + REMEMBER);
        let mut page = ListParams::default().limit(PAGE);
        while !wanted.is_empty() {
            self.rate.wait().await;
            let list = ask_patiently(volumes(client).list(&page)).await?;
            for Volume { spec, .. } in list.items {
                let Some(handle) = self.handle(&spec).map(str::to_owned) else {
                    continue;
                };
                if wanted.remove(&handle) || self.is_new(&handle) {
                    self.remember(&handle, spec.claim_ref.and_then(claim_of), until);
                }
            }
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => break,
            }
        }
        self.give_up(wanted);
        Ok(())
    }

    /// Whether nothing is known of a volume, and there is a place for what nobody has asked for.
    fn is_new(&self, volume_id: &str) -> bool {
        self.known.len() < PASSED && !self.known.contains_key(volume_id)
    }

    /// There is nothing to be found of these for a while.
    pub(super) fn give_up(&mut self, volumes: BTreeSet<String>) {
        let until = Some(Instant::now() + REMEMBER);
        for volume_id in volumes {
            self.remember(&volume_id, None, until);
        }
    }

    /// A volume is not here any more.
    pub(super) fn forget(&mut self, volume_id: &str) {
        self.known.remove(volume_id);
    }

    fn remember(&mut self, volume_id: &str, claim: Option<Claim>, until: Option<Instant>) {
        if self.known.len() < MOST || self.known.contains_key(volume_id) {
            let known = Known { claim, until };
            self.known.insert(volume_id.to_owned(), known);
        }
    }

    /// The volume of this driver, by the name that its PersistentVolume gives it.
    fn handle<'a>(&self, spec: &'a VolumeSpec) -> Option<&'a str> {
        let ours = spec.csi.as_ref().filter(|csi| csi.driver == self.driver)?;
        Some(&ours.volume_handle)
    }
}

fn volumes(client: &Client) -> Api<Volume> {
    let resource = ApiResource::erase::<PersistentVolume>(&());
    Api::all_with(client.clone(), &resource)
}

fn claim_of(object: ObjectReference) -> Option<Claim> {
    Some(Claim {
        namespace: object.namespace?,
        name: object.name?,
        uid: object.uid,
    })
}
