//! The controller asks a real API server, with no more rights than the manifests give it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::storage::v1::VolumeAttachment;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use nvmeof_csi::csi::proto::ControllerUnpublishVolumeRequest;
use nvmeof_csi::csi::proto::controller_client::ControllerClient;
use nvmeof_csi::serve::{ControllerOptions, ControllerPlugin};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};

use crate::control_plane::ControlPlane;
use crate::files::{document, string};
use crate::manifests::{Run, apply, apply_manifest};
use crate::requests::{channel, node_id, publish};
use crate::rights::{grant, is_answered, rules};
use crate::scene::{DRIVER, PATIENCE, token, volume};

/// What binds the rights to the controller's account.
const RIGHTS: [&str; 6] = [
    "namespace.yaml",
    "controller-serviceaccount.yaml",
    "controller-clusterrole.yaml",
    "controller-clusterrolebinding.yaml",
    "controller-role.yaml",
    "controller-rolebinding.yaml",
];

/// All that the controller itself asks for.
const ASKED: [&str; 3] = [
    "get csinodes",
    "list persistentvolumes",
    "list volumeattachments",
];

/// All that it and the attacher may ask for, in their own namespace.
const GRANTED: [&str; 14] = [
    "create events of \"\"",
    "create leases of \"coordination.k8s.io\"",
    "get csinodes of \"storage.k8s.io\"",
    "get leases of \"coordination.k8s.io\"",
    "list csinodes of \"storage.k8s.io\"",
    "list persistentvolumes of \"\"",
    "list volumeattachments of \"storage.k8s.io\"",
    "patch persistentvolumes of \"\"",
    "patch volumeattachments of \"storage.k8s.io\"",
    "patch volumeattachments/status of \"storage.k8s.io\"",
    "update leases of \"coordination.k8s.io\"",
    "watch csinodes of \"storage.k8s.io\"",
    "watch persistentvolumes of \"\"",
    "watch volumeattachments of \"storage.k8s.io\"",
];

/// A controller, two nodes, and a volume by two PersistentVolumes.
struct Attaching {
    administrator: Client,
    controller: Client,
    volume: String,
    socket: PathBuf,
    _directory: TempDir,
    _stop: oneshot::Sender<()>,
}

impl Attaching {
    async fn new(plane: &ControlPlane, volume_id: &str) -> Attaching {
        let administrator = plane.administrator();
        for name in RIGHTS {
            apply_manifest(&administrator, name).await;
        }
        for node in ["a", "b"] {
            apply(&administrator, &csi_node(node), Run::Real).await;
        }
        for number in ["1", "2"] {
            let name = format!("{volume_id}-{number}");
            let made = volume(&name, DRIVER, volume_id, None);
            apply(&administrator, &made, Run::Real).await;
        }
        let account = document("controller-serviceaccount.yaml");
        let token = token(&administrator, string(&account["metadata"]["name"])).await;
        let controller = plane.client(&token).expect("it serves");
        let directory = TempDir::new().expect("a directory");
        let socket = directory.path().join("csi.sock");
        let options = ControllerOptions {
            driver_name: DRIVER.parse().expect("a name"),
            endpoint: socket.clone(),
            admin_address: None,
        };
        let plugin = ControllerPlugin::start(&options, controller.clone()).await;
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(plugin.expect("it starts").serve(async {
            let _dropped = stopped.await;
        }));
        Attaching {
            administrator,
            controller,
            volume: volume_id.to_owned(),
            socket,
            _directory: directory,
            _stop: stop,
        }
    }

    async fn publish(&self, node: &str) -> Result<(), Status> {
        let mut message = publish(node);
        message.volume_id = self.volume.clone();
        let mut request = tonic::Request::new(message);
        request.set_timeout(PATIENCE);
        let mut controller = ControllerClient::new(channel(&self.socket).await);
        controller
            .controller_publish_volume(request)
            .await
            .map(drop)
    }

    async fn unpublish(&self, node: &str) -> Result<(), Status> {
        let message = ControllerUnpublishVolumeRequest {
            volume_id: self.volume.clone(),
            node_id: node_id(node),
            ..ControllerUnpublishVolumeRequest::default()
        };
        let mut controller = ControllerClient::new(channel(&self.socket).await);
        controller
            .controller_unpublish_volume(message)
            .await
            .map(drop)
    }

    /// What Kubernetes makes when a pod with the volume is to run on a node, and the attacher's part.
    async fn want(&self, number: &str, node: &str) -> String {
        let name = format!("{}-on-{node}", self.volume);
        let object = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment",
            "metadata": { "name": name, "finalizers": ["external-attacher/test-csi"] },
            "spec": {
                "attacher": DRIVER, "nodeName": node,
                "source": { "persistentVolumeName": format!("{}-{number}", self.volume) },
            },
        });
        apply(&self.administrator, &object, Run::Real).await;
        name
    }

    fn attachments(&self) -> Api<VolumeAttachment> {
        Api::all(self.administrator.clone())
    }

    async fn mark_attached(&self, name: &str) {
        let status = Patch::Merge(json!({ "status": { "attached": true } }));
        let how = PatchParams::default();
        let marked = self.attachments().patch_status(name, &how, &status).await;
        marked.expect("it is there");
    }

    async fn refused(&self, node: &str, words: &str) {
        let status = self.publish(node).await.expect_err("a second node");
        assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
        assert!(status.message().contains(words), "{words:?} in {status}");
    }
}

pub(crate) async fn a_second_node_is_refused_until_the_first_is_detached(plane: &mut ControlPlane) {
    let scene = Attaching::new(plane, "attached").await;
    let first = scene.want("1", "a").await;
    scene.publish("a").await.expect("nobody has it");
    // By the other PersistentVolume of the same handle.
    scene.want("2", "b").await;
    scene.refused("b", "is being attached to node a").await;
    scene.mark_attached(&first).await;
    scene.refused("b", "is attached to node a").await;
    let deleted = scene
        .attachments()
        .delete(&first, &DeleteParams::default())
        .await;
    deleted.expect("it goes");
    scene.refused("b", "is not yet detached from node a").await;
    scene.unpublish("a").await.expect("detached");
    let free = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    let freed = scene
        .attachments()
        .patch(&first, &PatchParams::default(), &free)
        .await;
    freed.expect("the attacher lets it go");
    scene.publish("b").await.expect("nobody has it");
}

pub(crate) async fn what_the_controller_asks_for_is_granted(plane: &mut ControlPlane) {
    let scene = Attaching::new(plane, "asked").await;
    let namespace = document("namespace.yaml");
    let namespace = string(&namespace["metadata"]["name"]);
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": { "name": "onlooker", "namespace": namespace },
    });
    apply(&scene.administrator, &account, Run::Real).await;
    let onlooker = token(&scene.administrator, "onlooker").await;
    let onlooker = plane.client(&onlooker).expect("it serves");
    let everybody = rules(&onlooker, namespace).await;
    let controller = rules(&scene.controller, namespace).await;
    let more: Vec<&String> = controller.difference(&everybody).collect();
    assert_eq!(more, GRANTED.map(str::to_owned).iter().collect::<Vec<_>>());
    scene.want("1", "a").await;
    let before = plane.asked().len();
    scene.publish("a").await.expect("nobody has it");
    let wanted: BTreeSet<String> = ASKED.map(str::to_owned).into_iter().collect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let asked = plane.asked().split_off(before);
        assert!(asked.iter().all(is_answered), "{asked:#?}");
        let asked: BTreeSet<String> = asked.iter().map(grant).collect();
        if asked == wanted {
            return;
        }
        // An answer may be written down after it was given.
        assert!(Instant::now() < deadline, "{asked:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) async fn a_dead_api_server_admits_nobody_and_a_new_one_does(plane: &mut ControlPlane) {
    let scene = Attaching::new(plane, "unknown").await;
    scene.want("1", "a").await;
    plane.kill();
    let status = scene.publish("a").await.expect_err("nobody can say");
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().contains("nobody is admitted"), "{status}");
    scene.unpublish("a").await.expect("it asks nobody");
    plane.start().await;
    scene.publish("a").await.expect("nobody has it");
}

fn csi_node(name: &str) -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": { "name": name },
        "spec": { "drivers": [{ "name": DRIVER, "nodeID": node_id(name) }] },
    })
}
