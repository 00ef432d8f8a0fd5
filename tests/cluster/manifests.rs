//! The manifests of `deploy/kubernetes`, handed to an API server that takes no unknown word.

use k8s_openapi::api::storage::v1::CSIDriver;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::control_plane::ControlPlane;
use crate::files::{document, documents, list, string};

/// What lies in no namespace.
const CLUSTER_WIDE: [&str; 7] = [
    "ClusterRole",
    "ClusterRoleBinding",
    "CSIDriver",
    "CSINode",
    "Namespace",
    "PersistentVolume",
    "VolumeAttachment",
];

/// Whether the API server keeps what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Run {
    /// It does.
    Real,
    /// It only checks.
    Dry,
}

pub(crate) async fn the_api_server_takes_every_manifest_and_example_as_it_stands(
    plane: &mut ControlPlane,
) {
    let client = plane.administrator();
    let kustomization = document("kustomization.yaml");
    for name in list(&kustomization["resources"]) {
        apply_manifest(&client, string(name)).await;
    }
    for name in ["examples/filesystem.yaml", "examples/block.yaml"] {
        for example in documents(name) {
            apply(&client, &example, Run::Dry).await;
        }
    }
}

pub(crate) async fn the_csidriver_of_a_version_without_attach_has_to_be_replaced(
    plane: &mut ControlPlane,
) {
    let client = plane.administrator();
    let drivers: Api<CSIDriver> = Api::all(client.clone());
    let new = document("csidriver.yaml");
    let name = new["metadata"]["name"].as_str().expect("a name");
    // Another test may have made the new one.
    let _gone = drivers.delete(name, &DeleteParams::default()).await;
    let mut old = new.clone();
    old["spec"]["attachRequired"] = json!(false);
    apply(&client, &old, Run::Real).await;
    let error = try_apply(&client, &new, Run::Real).await;
    let error = error.expect_err("it cannot be changed").to_string();
    // So it is called there.
    let words = "spec.attachedRequired: Invalid value: true: field is immutable";
    assert!(error.contains(words), "{error}");
    // What `kubectl replace --force` does.
    let deleted = drivers.delete(name, &DeleteParams::default()).await;
    deleted.expect("nothing holds it");
    apply(&client, &new, Run::Real).await;
    let made = drivers.get(name).await.expect("it is there");
    assert_eq!(made.spec.attach_required, Some(true));
}

/// Applies a manifest.
pub(crate) async fn apply_manifest(client: &Client, name: &str) {
    apply(client, &document(name), Run::Real).await;
}

/// Applies an object as `kubectl apply --server-side --validate=strict` does, and returns its UID.
pub(crate) async fn apply(client: &Client, object: &Value, run: Run) -> String {
    let applied = try_apply(client, object, run).await;
    let applied = applied.unwrap_or_else(|error| panic!("{object}: {error:?}"));
    applied.metadata.uid.expect("a UID")
}

async fn try_apply(client: &Client, object: &Value, run: Run) -> kube::Result<DynamicObject> {
    let word = |value: &Value| value.as_str().map(str::to_owned);
    let kind = word(&object["kind"]).expect("a kind");
    let version = word(&object["apiVersion"]).expect("a version");
    let (group, version) = version.split_once('/').unwrap_or(("", &version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &kind));
    let metadata = &object["metadata"];
    let api: Api<DynamicObject> = if CLUSTER_WIDE.contains(&kind.as_str()) {
        Api::all_with(client.clone(), &resource)
    } else {
        let namespace = word(&metadata["namespace"]).unwrap_or_else(|| "default".to_owned());
        Api::namespaced_with(client.clone(), &namespace, &resource)
    };
    let mut how = PatchParams::apply("test").validation_strict();
    how.dry_run = run == Run::Dry;
    let name = word(&metadata["name"]).expect("a name");
    api.patch(&name, &how, &Patch::Apply(object)).await
}
