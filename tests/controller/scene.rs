//! A controller that runs in the test's own process, and a cluster with two nodes and a volume.

use std::net::SocketAddr;
use std::time::Duration;

use nvmeof_csi::csi::proto::controller_client::ControllerClient;
use nvmeof_csi::csi::proto::identity_client::IdentityClient;
use nvmeof_csi::csi::proto::{ControllerPublishVolumeRequest, ControllerUnpublishVolumeRequest};
use nvmeof_csi::serve::{ControllerOptions, ControllerPlugin, ServeError};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::api_server::{ATTACHMENTS, ApiServer, NODES, VOLUMES};
use crate::requests::{VOLUME, channel, node_id, publish};

pub(crate) const DRIVER: &str = "test.csi";

/// How long a node waits whose competitors another controller may have admitted.
pub(crate) const SETTLE: Duration = Duration::from_secs(30);
/// How long an older request that is heard of no more goes first.
pub(crate) const SILENCE: Duration = Duration::from_secs(120);

/// The controller and its cluster.
pub(crate) struct Scene {
    pub(crate) cluster: ApiServer,
    options: ControllerOptions,
    _directory: TempDir,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), ServeError>>,
}

impl Scene {
    /// Nodes `a` and `b`, and the PersistentVolume `data` with the handle [`VOLUME`], for one node.
    pub(crate) async fn new() -> Scene {
        let cluster = ApiServer::new();
        for name in ["a", "b"] {
            cluster.put(NODES, node(name, &node_id(name)));
        }
        cluster.put(VOLUMES, volume("data", VOLUME, "ReadWriteOnce"));
        Scene::of(cluster).await
    }

    /// Another controller of this cluster, such as takes over from one that ended.
    pub(crate) async fn of(cluster: ApiServer) -> Scene {
        Scene::with(cluster, None).await
    }

    /// A controller that serves its probes at this address.
    pub(crate) async fn with(cluster: ApiServer, admin_address: Option<SocketAddr>) -> Scene {
        let directory = tempfile::tempdir().expect("a directory");
        let options = ControllerOptions {
            driver_name: DRIVER.parse().expect("a name"),
            endpoint: directory.path().join("csi.sock"),
            admin_address,
        };
        let plugin = ControllerPlugin::start(&options, cluster.client()).await;
        let (stop, stopped) = oneshot::channel();
        let served = plugin.expect("it starts").serve(async {
            let _dropped_or_sent = stopped.await;
        });
        Scene {
            cluster,
            options,
            _directory: directory,
            stop,
            served: tokio::spawn(served),
        }
    }

    /// Drains the controller.
    pub(crate) async fn stop(self) {
        self.stop.send(()).expect("it runs");
        self.served.await.expect("no panic").expect("it drains");
        assert!(!self.options.endpoint.exists(), "the socket is left");
    }

    pub(crate) async fn controller(&self) -> ControllerClient<Channel> {
        ControllerClient::new(self.channel().await)
    }

    pub(crate) async fn identity(&self) -> IdentityClient<Channel> {
        IdentityClient::new(self.channel().await)
    }

    /// Publishes the volume to a node, as the attacher does.
    pub(crate) async fn publish(&self, node: &str) -> Result<(), Status> {
        self.ask(publish(node)).await
    }

    /// Sends a request of the test's own.
    pub(crate) async fn ask(&self, message: ControllerPublishVolumeRequest) -> Result<(), Status> {
        let mut request = tonic::Request::new(message);
        request.set_timeout(Duration::from_secs(60));
        let mut controller = self.controller().await;
        let answer = controller.controller_publish_volume(request).await?;
        let answer = answer.into_inner();
        assert!(answer.publish_context.is_empty(), "{answer:?}");
        Ok(())
    }

    /// Succeeds if publishing is refused because of that node, and returns the message.
    pub(crate) async fn refused(&self, node: &str, because_of: &str) -> String {
        let status = self.publish(node).await.expect_err("a second node");
        assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
        let named = format!("node {because_of}");
        assert!(status.message().contains(&named), "{named:?} in {status}");
        status.message().to_owned()
    }

    pub(crate) async fn unpublish(&self, volume: &str, node_id: &str) -> Result<(), Status> {
        let message = ControllerUnpublishVolumeRequest {
            volume_id: volume.to_owned(),
            node_id: node_id.to_owned(),
            ..ControllerUnpublishVolumeRequest::default()
        };
        let mut controller = self.controller().await;
        controller.controller_unpublish_volume(message).await?;
        Ok(())
    }

    /// Kubernetes wants `data` on the node, since this second of a minute.
    pub(crate) fn want(&self, node: &str, second: u8) -> String {
        self.want_by("data", node, second)
    }

    /// The same by another PersistentVolume.
    pub(crate) fn want_by(&self, volume: &str, node: &str, second: u8) -> String {
        let name = format!("{volume}-on-{node}");
        self.cluster
            .put(ATTACHMENTS, attachment(&name, volume, node, second));
        name
    }

    /// What the attacher writes when a node has the volume.
    pub(crate) fn mark_attached(&self, name: &str) {
        self.cluster.change(ATTACHMENTS, name, |attachment| {
            attachment["status"] = json!({ "attached": true });
        });
    }

    pub(crate) async fn channel(&self) -> Channel {
        channel(&self.options.endpoint).await
    }
}

/// Lets so much time pass at once.
pub(crate) async fn later(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

pub(crate) fn node(name: &str, id: &str) -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": { "name": name },
        "spec": { "drivers": [
            { "name": "other.csi", "nodeID": "other", "topologyKeys": null },
            { "name": DRIVER, "nodeID": id, "topologyKeys": null },
        ] },
    })
}

pub(crate) fn volume(name: &str, handle: &str, mode: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": name },
        "spec": {
            "accessModes": [mode],
            "csi": { "driver": DRIVER, "volumeHandle": handle },
        },
    })
}

/// As the attacher leaves it when it asks the controller.
fn attachment(name: &str, volume: &str, node: &str, second: u8) -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment",
        "metadata": {
            "name": name,
            "uid": format!("uid-of-{name}"),
            "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z"),
            "finalizers": ["external-attacher/test-csi"],
            "annotations": { "csi.alpha.kubernetes.io/node-id": node_id(node) },
        },
        "spec": {
            "attacher": DRIVER, "nodeName": node,
            "source": { "persistentVolumeName": volume },
        },
        "status": { "attached": false },
    })
}
