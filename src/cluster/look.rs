//! The questions to the API server.
//!
//! Each list is the newest there is: no resource version is named, so the API server answers what
//! etcd holds at that moment. A question may take as long as the call that asks it.

use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::api::core::v1::PersistentVolume;
use k8s_openapi::api::storage::v1::{CSINode, VolumeAttachment};
use kube::api::{GetParams, ListParams, ObjectList};
use kube::core::request::{Error as RequestError, Request};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;

use super::attachment::Listed;
use super::error::{AdmitError, LookError};
use super::known::{Known, known};
use super::node_id::{NodeId, NodeName};
use super::objects::{AttachmentObject, NodeObject, VolumeObject, VolumeSpec};
use crate::report::ApiError;

/// How many objects come in one answer: its text is held in memory as a whole.
const PAGE: u32 = 500;

/// Who is asked, and about whose volumes.
pub(super) struct Look {
    client: Client,
    driver: String,
}

impl Debug for Look {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Look");
        shown.field("driver", &self.driver).finish_non_exhaustive()
    }
}

impl Look {
    pub(super) fn new(client: Client, driver: String) -> Look {
        Look { client, driver }
    }

    pub(super) fn driver(&self) -> &str {
        &self.driver
    }

    /// Everything about the volume with this handle. Several PersistentVolumes may have it.
    pub(super) async fn volume(&self, handle: &str) -> Result<Known, LookError> {
        // In this order: the PersistentVolume of an attachment was there before it.
        let mut attachments = Vec::new();
        let path = VolumeAttachment::url_path(&(), None);
        self.each::<AttachmentObject>(path, "list VolumeAttachments", |object| {
            if object.spec.attacher == self.driver {
                attachments.push(Listed::new(object));
            }
        })
        .await?;
        let mut volumes = BTreeMap::<String, VolumeSpec>::new();
        let path = PersistentVolume::url_path(&(), None);
        self.each::<VolumeObject>(path, "list PersistentVolumes", |object| {
            if object.spec.is(&self.driver, handle) {
                volumes.insert(object.metadata.name, object.spec);
            }
        })
        .await?;
        Ok(known(&self.driver, handle, attachments, &volumes))
    }

    /// Succeeds if a node of this name runs the driver under this ID.
    pub(super) async fn check_node(
        &self,
        node: &NodeName,
        node_id: &NodeId,
    ) -> Result<(), AdmitError> {
        let request = Request::new(CSINode::url_path(&(), None));
        let request = request.get(node.as_str(), &GetParams::default());
        let rule = match self.ask::<NodeObject>(request).await {
            Err(error) if error.is_not_found() => "is not in the cluster".to_owned(),
            Err(error) => return Err(api("read a CSINode", error).into()),
            Ok(found) => {
                let mut drivers = found.spec.drivers.into_iter();
                match drivers.find(|driver| driver.name == self.driver) {
                    Some(driver) if driver.node_id == node_id.to_string() => return Ok(()),
                    Some(driver) => format!(
                        "runs the driver as {:?}, not as {:?}",
                        driver.node_id,
                        node_id.to_string()
                    ),
                    None => format!("does not run driver {}", self.driver),
                }
            }
        };
        let node = node.clone();
        Err(AdmitError::NoNode { node, rule })
    }

    /// Hands out all objects of a kind, of which one page is in memory at a time.
    async fn each<K: Clone + DeserializeOwned>(
        &self,
        path: String,
        question: &'static str,
        mut take: impl FnMut(K),
    ) -> Result<(), LookError> {
        let kind = Request::new(path);
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let list = self.ask::<ObjectList<K>>(kind.list(&page)).await;
            let list = list.map_err(|error| api(question, error))?;
            list.items.into_iter().for_each(&mut take);
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(()),
            }
        }
    }

    /// Reads an answer itself: the client would log the whole of one that it cannot read.
    async fn ask<T: DeserializeOwned>(
        &self,
        request: Result<hyper::Request<Vec<u8>>, RequestError>,
    ) -> Result<T, ApiError> {
        let call = async {
            let request = request.map_err(kube::Error::BuildRequest)?;
            let text = self.client.request_text(request).await?;
            serde_json::from_str(&text).map_err(kube::Error::SerdeError)
        };
        call.await.map_err(|error| ApiError::Call(Box::new(error)))
    }
}

fn api(question: &'static str, source: ApiError) -> LookError {
    LookError::Api { question, source }
}
