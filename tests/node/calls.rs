//! The calls of the service Node as values, for tables over all of them.

use std::time::Duration;

use nvmeof_csi::csi::proto::node_client::NodeClient;
use nvmeof_csi::csi::proto::{
    NodeGetStorageHealthRequest, NodeGetVolumeHealthRequest, VolumeCapability,
};
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::machine::Machine;
use crate::plugin::Running;
use crate::requests::{self, VOLUME};

/// The calls of the service Node that may fail for more than their own form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rpc {
    Stage,
    Unstage,
    Publish,
    Unpublish,
    Expand,
    Stats,
    Health,
    StorageHealth,
}

pub(crate) const EVERY: [Rpc; 8] = [
    Rpc::Stage,
    Rpc::Unstage,
    Rpc::Publish,
    Rpc::Unpublish,
    Rpc::Expand,
    Rpc::Stats,
    Rpc::Health,
    Rpc::StorageHealth,
];

/// Those that change something.
pub(crate) const CHANGES: [Rpc; 5] = [
    Rpc::Stage,
    Rpc::Unstage,
    Rpc::Publish,
    Rpc::Unpublish,
    Rpc::Expand,
];

impl Rpc {
    /// The name by which it is counted.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Rpc::Stage => "NodeStageVolume",
            Rpc::Unstage => "NodeUnstageVolume",
            Rpc::Publish => "NodePublishVolume",
            Rpc::Unpublish => "NodeUnpublishVolume",
            Rpc::Expand => "NodeExpandVolume",
            Rpc::Stats => "NodeGetVolumeStats",
            Rpc::Health => "NodeGetVolumeHealth",
            Rpc::StorageHealth => "NodeGetStorageHealth",
        }
    }

    pub(crate) async fn call(
        self,
        node: &mut NodeClient<Channel>,
        machine: &Machine,
        how: &How,
    ) -> Result<(), Status> {
        match self {
            Rpc::Stage => {
                let message = requests::stage_as(machine, (how.capability)());
                drop(node.node_stage_volume(how.request(message)).await?);
            }
            Rpc::Unstage => {
                let message = requests::unstage_as(machine, &(how.capability)());
                drop(node.node_unstage_volume(how.request(message)).await?);
            }
            Rpc::Publish => {
                let message = requests::publish_as(machine, (how.capability)());
                drop(node.node_publish_volume(how.request(message)).await?);
            }
            Rpc::Unpublish => {
                let message = requests::unpublish_as(machine, &(how.capability)());
                drop(node.node_unpublish_volume(how.request(message)).await?);
            }
            Rpc::Expand => {
                let message = requests::expand(machine, 0);
                drop(node.node_expand_volume(how.request(message)).await?);
            }
            Rpc::Stats => {
                let message = requests::stats(machine);
                drop(node.node_get_volume_stats(how.request(message)).await?);
            }
            Rpc::Health => {
                let message = NodeGetVolumeHealthRequest {
                    volume_id: VOLUME.to_owned(),
                    ..NodeGetVolumeHealthRequest::default()
                };
                drop(node.node_get_volume_health(how.request(message)).await?);
            }
            Rpc::StorageHealth => {
                let message = NodeGetStorageHealthRequest::default();
                drop(node.node_get_storage_health(how.request(message)).await?);
            }
        }
        Ok(())
    }
}

/// What is the same for every call of a test.
pub(crate) struct How {
    pub(crate) capability: fn() -> VolumeCapability,
    pub(crate) timeout: Option<Duration>,
}

impl Default for How {
    fn default() -> How {
        How {
            capability: requests::filesystem,
            timeout: None,
        }
    }
}

impl How {
    fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        if let Some(timeout) = self.timeout {
            request.set_timeout(timeout);
        }
        request
    }
}

/// How far the volume has come before the call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stands {
    Nowhere,
    Staged,
    StagedRaw,
    Published,
    /// On a node with a single writer, for whom another pod asks.
    PublishedElsewhere,
}

/// Brings the volume there.
pub(crate) async fn bring(running: &Running, stands: Stands, how: &How) {
    let (machine, mut node) = (&running.machine, running.node().await);
    let calls: &[Rpc] = match stands {
        Stands::Nowhere => &[],
        Stands::Staged | Stands::StagedRaw => &[Rpc::Stage],
        Stands::Published | Stands::PublishedElsewhere => &[Rpc::Stage, Rpc::Publish],
    };
    for rpc in calls {
        let answer = rpc.call(&mut node, machine, how).await;
        answer.unwrap_or_else(|status| panic!("{rpc:?}: {status}"));
    }
}
