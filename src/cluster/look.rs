//! The questions to the API server.
//!
//! Each list is the newest there is: no resource version is named, so the API server answers what
//! etcd holds at that moment.

use std::collections::HashMap;
use std::fmt::Debug;

use k8s_openapi::api::core::v1::PersistentVolume;
use k8s_openapi::api::storage::v1::{CSINode, VolumeAttachment};
use kube::api::{ApiResource, ListParams, NotUsed};
use kube::core::Object;
use kube::{Api, Client};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::attachment::{Attachment, CsiSource, Raw, RawSource, VolumeSpec};
use super::error::{AdmitError, LookError};
use super::name::attachment_name;
use crate::report::{ApiError, ask};

/// How many objects come in one answer: it is held in memory as a whole.
const PAGE: u32 = 500;

/// A PersistentVolume, of which only this is read.
type Volume = Object<VolumeSpec, NotUsed>;

/// What kubelet says of the drivers of its node.
type Node = Object<NodeSpec, NotUsed>;

#[derive(Debug, Clone, Deserialize)]
struct NodeSpec {
    #[serde(default)]
    drivers: Vec<NodeDriver>,
}

#[derive(Debug, Clone, Deserialize)]
struct NodeDriver {
    name: String,
    #[serde(rename = "nodeID")]
    node_id: String,
}

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

/// What the cluster says of a volume.
#[derive(Debug)]
pub(super) struct Known {
    /// Whether a PersistentVolume has its handle.
    pub(super) is_known: bool,
    /// All of its attachments, by whatever PersistentVolume.
    pub(super) attachments: Vec<Attachment>,
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
        let attachments = self
            .list::<Raw>(
                ApiResource::erase::<VolumeAttachment>(&()),
                "VolumeAttachments",
            )
            .await?;
        let volumes = self
            .list::<Volume>(
                ApiResource::erase::<PersistentVolume>(&()),
                "PersistentVolumes",
            )
            .await?;
        let volumes: HashMap<String, VolumeSpec> = volumes
            .into_iter()
            .filter(|volume| self.is_of_driver(volume.spec.csi.as_ref()))
            .filter_map(|volume| Some((volume.metadata.name?, volume.spec)))
            .collect();
        let has_handle = |spec: &VolumeSpec| {
            let csi = spec.csi.as_ref();
            csi.is_some_and(|csi| csi.volume_handle == handle)
        };
        let mut is_known = volumes.values().any(has_handle);
        let mut found = Vec::new();
        for raw in attachments {
            if raw.spec.attacher != self.driver {
                continue;
            }
            let spec = spec_of(&raw.spec.source, &volumes);
            let is_exclusive = spec.is_none_or(VolumeSpec::is_exclusive);
            let is_ours = match spec {
                Some(spec) => has_handle(spec),
                // Its PersistentVolume was removed by force.
                None => self.is_named_after(&raw, handle),
            };
            if is_ours {
                is_known |= raw.spec.source.inline_volume_spec.is_some();
                found.push(Attachment::new(raw, is_exclusive));
            }
        }
        Ok(Known {
            is_known,
            attachments: found,
        })
    }

    /// Succeeds if a node of this name runs the driver under this ID.
    pub(super) async fn check_node(&self, node: &str, node_id: &str) -> Result<(), AdmitError> {
        let resource = ApiResource::erase::<CSINode>(&());
        let nodes: Api<Node> = Api::all_with(self.client.clone(), &resource);
        let rule = match ask(nodes.get(node)).await {
            Err(error) if error.is_not_found() => "is not in the cluster".to_owned(),
            Err(error) => return Err(api("CSINodes", error).into()),
            Ok(found) => {
                let mut drivers = found.spec.drivers.into_iter();
                match drivers.find(|driver| driver.name == self.driver) {
                    Some(driver) if driver.node_id == node_id => return Ok(()),
                    Some(driver) => {
                        format!(
                            "runs the driver as {:?}, not as {node_id:?}",
                            driver.node_id
                        )
                    }
                    None => format!("does not run driver {}", self.driver),
                }
            }
        };
        let node = node.to_owned();
        Err(AdmitError::NoNode { node, rule })
    }

    fn is_of_driver(&self, csi: Option<&CsiSource>) -> bool {
        csi.is_some_and(|csi| csi.driver == self.driver)
    }

    fn is_named_after(&self, raw: &Raw, handle: &str) -> bool {
        let name = attachment_name(handle, &self.driver, &raw.spec.node_name);
        raw.metadata.name.as_ref() == Some(&name)
    }

    /// All objects of a kind, page by page.
    async fn list<K>(&self, resource: ApiResource, what: &'static str) -> Result<Vec<K>, LookError>
    where
        K: kube::Resource<DynamicType = ApiResource> + Clone + DeserializeOwned + Debug,
    {
        let objects: Api<K> = Api::all_with(self.client.clone(), &resource);
        let mut page = ListParams::default().limit(PAGE);
        let mut all = Vec::new();
        loop {
            let list = ask(objects.list(&page)).await;
            let list = list.map_err(|error| api(what, error))?;
            all.extend(list.items);
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(all),
            }
        }
    }
}

/// The volume that is attached, if it is there.
fn spec_of<'a>(
    source: &'a RawSource,
    volumes: &'a HashMap<String, VolumeSpec>,
) -> Option<&'a VolumeSpec> {
    match &source.persistent_volume_name {
        Some(name) => volumes.get(name),
        None => source.inline_volume_spec.as_ref(),
    }
}

fn api(what: &'static str, source: ApiError) -> LookError {
    LookError::Api { what, source }
}
