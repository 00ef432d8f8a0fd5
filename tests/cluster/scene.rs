//! A namespace with a claim and a pod, and a poster with no more rights than the manifests give it.

use std::fs;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Event, ServiceAccount};
use kube::api::{PostParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use nvmeof_csi::report::metrics::Metrics;
use nvmeof_csi::report::outcome::{ClaimRef, Outcome, PodRef, Reason};
use nvmeof_csi::report::poster::Poster;
use nvmeof_csi::report::reporter::Reporter;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_stream::StreamExt;

use crate::control_plane::ControlPlane;
use crate::files::{document, string};
use crate::manifests::{Run, apply, apply_manifest};

/// How long anything may take that happens at once on a machine with nothing else to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The name of the driver.
pub(crate) const DRIVER: &str = "test.csi";
/// Its node.
pub(crate) const NODE: &str = "worker-1";
/// What binds the rights to the poster's account.
const RIGHTS: [&str; 4] = [
    "namespace.yaml",
    "serviceaccount.yaml",
    "clusterrole.yaml",
    "clusterrolebinding.yaml",
];

/// A claim `data` and a pod `db-0` in a namespace, and whoever tells and posts.
pub(crate) struct Scene {
    pub(crate) administrator: Client,
    /// With the rights of the node plugin.
    pub(crate) node: Client,
    pub(crate) reporter: Reporter,
    pub(crate) namespace: &'static str,
    /// The UIDs of the two.
    pub(crate) claim: String,
    pub(crate) pod: String,
    metrics: Arc<Metrics>,
    secrets: TempDir,
}

impl Scene {
    /// A poster posts on what is in a new namespace.
    pub(crate) async fn new(plane: &ControlPlane, namespace: &'static str) -> Scene {
        let administrator = plane.administrator();
        for name in RIGHTS {
            apply_manifest(&administrator, name).await;
        }
        let account = document("serviceaccount.yaml");
        let token = token(&administrator, string(&account["metadata"]["name"])).await;
        let node = plane.client(&token).expect("it serves");
        let made = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace },
        });
        apply(&administrator, &made, Run::Real).await;
        let claim = apply(&administrator, &claim(namespace), Run::Real).await;
        let pod = apply(&administrator, &pod(namespace), Run::Real).await;
        let bound = volume(namespace, DRIVER, namespace, Some((namespace, &claim)));
        apply(&administrator, &bound, Run::Real).await;
        let secrets = TempDir::new().expect("a directory");
        fs::write(secrets.path().join("token"), token).expect("a file");
        let (reporter, metrics) = poster(plane, &secrets.path().join("token"));
        reporter.came(namespace, namespace);
        Scene {
            administrator,
            node,
            reporter,
            namespace,
            claim,
            pod,
            metrics,
            secrets,
        }
    }

    /// Another poster, of a plugin that starts now.
    pub(crate) fn start_anew(&mut self, plane: &ControlPlane) {
        (self.reporter, self.metrics) = poster(plane, &self.token_file());
    }

    /// Where the poster finds its token.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.secrets.path().join("token")
    }

    /// How many outcomes wait.
    pub(crate) fn pending(&self) -> String {
        let text = self.metrics.text().expect("numbers");
        let mut lines = text.lines();
        let line = lines.find_map(|line| line.strip_prefix("nvmeof_csi_events_pending "));
        line.expect("a number").to_owned()
    }

    /// Something that happened to the volume of the claim and the pod.
    pub(crate) fn outcome(&self, reason: Reason) -> Outcome {
        Outcome {
            volume_id: self.namespace.to_owned(),
            claim: Some(ClaimRef {
                namespace: self.namespace.to_owned(),
                name: "data".to_owned(),
            }),
            pods: vec![PodRef {
                namespace: self.namespace.to_owned(),
                name: "db-0".to_owned(),
                uid: Some(self.pod.clone()),
            }],
            reason,
            message: "no path for 30 s".to_owned(),
        }
    }

    /// The events of the namespace, as somebody sees them who may do everything.
    pub(crate) fn events(&self) -> Api<Event> {
        Api::namespaced(self.administrator.clone(), self.namespace)
    }

    /// Waits for the event on what has this UID to count so many.
    pub(crate) async fn event(&self, uid: &str, count: i32) -> Event {
        let only = WatchParams::default().fields(&format!("involvedObject.uid={uid}"));
        let (events, mut last) = (self.events(), None);
        let found = async {
            let changes = events.watch(&only, "0").await.expect("a watch");
            let mut changes = pin!(changes);
            while let Some(change) = changes.next().await {
                if let WatchEvent::Added(event) | WatchEvent::Modified(event) =
                    change.expect("a change")
                {
                    if event.count == Some(count) {
                        return event;
                    }
                    last = Some(event);
                }
            }
            panic!("the watch ended");
        };
        match timeout(PATIENCE, found).await {
            Ok(event) => event,
            Err(_) => panic!("no event counts {count}; the last one: {last:#?}"),
        }
    }
}

/// Whoever tells, and the numbers of whoever posts.
fn poster(plane: &ControlPlane, token_file: &Path) -> (Reporter, Arc<Metrics>) {
    let metrics = Metrics::new(Vec::new());
    let (reporter, outcomes) = Reporter::counted(&metrics);
    let poster = Poster::new(DRIVER, NODE, outcomes, Arc::clone(&metrics));
    let poster = poster.with_connection(plane.connector(token_file));
    tokio::spawn(poster.run());
    (reporter, metrics)
}

/// A PersistentVolume, bound to the claim `data` of this namespace and UID where there is one.
pub(crate) fn volume(name: &str, driver: &str, handle: &str, claim: Option<(&str, &str)>) -> Value {
    let mut volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": { "name": name },
        "spec": {
            "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteOnce"],
            "storageClassName": "",
            "csi": { "driver": driver, "volumeHandle": handle },
        },
    });
    if let Some((namespace, uid)) = claim {
        volume["spec"]["claimRef"] = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "namespace": namespace, "name": "data", "uid": uid,
        });
    }
    volume
}

/// A token of an account in the namespace of the node plugin.
pub(crate) async fn token(administrator: &Client, account: &str) -> String {
    let namespace = document("namespace.yaml");
    let namespace = string(&namespace["metadata"]["name"]);
    let accounts: Api<ServiceAccount> = Api::namespaced(administrator.clone(), namespace);
    let request = TokenRequest {
        spec: TokenRequestSpec {
            expiration_seconds: Some(3600),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let how = PostParams::default();
    let made = accounts.create_token_request(account, &how, &request).await;
    made.expect("an answer").status.expect("a token").token
}

fn claim(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": { "name": "data", "namespace": namespace },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "",
            "resources": { "requests": { "storage": "1Gi" } },
        },
    })
}

fn pod(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "db-0", "namespace": namespace },
        "spec": {
            "nodeName": NODE,
            "containers": [{ "name": "db", "image": "db" }],
        },
    })
}
