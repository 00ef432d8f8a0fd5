//! The example volumes: each claim is bound to its volume, and each volume says all that the driver needs.

use serde_json::Value;

use crate::files::{document, documents, string};

/// One example: its volume, its claim and its pod.
fn example(name: &str) -> [Value; 3] {
    let documents = documents(name);
    let kinds: Vec<&str> = documents.iter().map(|one| string(&one["kind"])).collect();
    assert_eq!(kinds, ["PersistentVolume", "PersistentVolumeClaim", "Pod"]);
    <[Value; 3]>::try_from(documents).expect("three kinds, three documents")
}

#[test]
fn the_filesystem_example_binds_and_mounts() {
    let [volume, claim, pod] = example("examples/filesystem.yaml");
    the_claim_is_bound(&volume, &claim);
    the_volume_is_complete(&volume);
    assert!(volume["spec"]["volumeMode"].is_null(), "the default");
    assert_eq!(volume["spec"]["csi"]["fsType"].as_str(), Some("ext4"));
    the_pod_uses(&claim, &pod, "volumeMounts");
}

#[test]
fn the_block_example_binds_and_maps_a_device() {
    let [volume, claim, pod] = example("examples/block.yaml");
    the_claim_is_bound(&volume, &claim);
    the_volume_is_complete(&volume);
    assert_eq!(volume["spec"]["volumeMode"].as_str(), Some("Block"));
    assert!(
        volume["spec"]["csi"]["fsType"].is_null(),
        "a raw device has no filesystem"
    );
    the_pod_uses(&claim, &pod, "volumeDevices");
}

/// Kubernetes binds the two only if all of this agrees; an absent class would be the cluster's default one.
fn the_claim_is_bound(volume: &Value, claim: &Value) {
    assert_eq!(volume["spec"]["storageClassName"].as_str(), Some(""));
    for key in ["storageClassName", "accessModes", "volumeMode"] {
        assert_eq!(volume["spec"][key], claim["spec"][key], "{key}");
    }
    let capacity = &volume["spec"]["capacity"]["storage"];
    let wanted = &claim["spec"]["resources"]["requests"]["storage"];
    assert_eq!(capacity, wanted);
    assert_eq!(claim["spec"]["volumeName"], volume["metadata"]["name"]);
    for key in ["name", "namespace"] {
        let reference = &volume["spec"]["claimRef"][key];
        assert_eq!(reference, &claim["metadata"][key], "{key}");
    }
}

fn the_volume_is_complete(volume: &Value) {
    let csi = &volume["spec"]["csi"];
    let driver = document("csidriver.yaml");
    assert_eq!(csi["driver"], driver["metadata"]["name"]);
    assert!(!string(&csi["volumeHandle"]).is_empty());
    let attributes = csi["volumeAttributes"].as_object().expect("attributes");
    for (key, value) in attributes {
        // The API server refuses a number here.
        assert!(value.as_str().is_some(), "{key:?} is not a string");
    }
    for key in ["nqn", "addresses", "transport"] {
        assert!(!string(&csi["volumeAttributes"][key]).is_empty(), "{key}");
    }
}

fn the_pod_uses(claim: &Value, pod: &Value, by: &str) {
    assert_eq!(pod["metadata"]["namespace"], claim["metadata"]["namespace"]);
    let volume = &pod["spec"]["volumes"][0];
    let wanted = &volume["persistentVolumeClaim"]["claimName"];
    assert_eq!(wanted, &claim["metadata"]["name"]);
    let used = &pod["spec"]["containers"][0][by][0]["name"];
    assert_eq!(used, &volume["name"]);
}
