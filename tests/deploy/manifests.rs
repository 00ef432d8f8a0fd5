//! The manifests but the DaemonSet, and the Dockerfile.

use std::collections::BTreeSet;
use std::fs;

use crate::files::{document, list, path, string, text};

#[test]
fn the_kustomization_lists_every_manifest_and_no_other() {
    let kustomization = document("kustomization.yaml");
    let listed: BTreeSet<String> = list(&kustomization["resources"])
        .iter()
        .map(|name| string(name).to_owned())
        .collect();
    let there: BTreeSet<String> = fs::read_dir(path("kubernetes"))
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name())
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.ends_with(".yaml") && name != "kustomization.yaml")
        .collect();
    assert_eq!(listed, there);
}

#[test]
fn the_csidriver_wants_volumes_attached_and_leaves_ownership_to_kubelet() {
    let driver = document("csidriver.yaml");
    assert_eq!(driver["kind"].as_str(), Some("CSIDriver"));
    let spec = &driver["spec"];
    assert_eq!(spec["attachRequired"].as_bool(), Some(true));
    assert_eq!(spec["podInfoOnMount"].as_bool(), Some(true));
    assert_eq!(spec["fsGroupPolicy"].as_str(), Some("File"));
    assert_eq!(spec["seLinuxMount"].as_bool(), Some(true));
    let modes: Vec<&str> = list(&spec["volumeLifecycleModes"])
        .iter()
        .map(string)
        .collect();
    assert_eq!(modes, ["Persistent"]);
}

#[test]
fn the_namespace_lets_a_privileged_pod_in() {
    let namespace = document("namespace.yaml");
    let labels = &namespace["metadata"]["labels"];
    assert_eq!(
        labels["pod-security.kubernetes.io/enforce"].as_str(),
        Some("privileged")
    );
    for manifest in [
        "serviceaccount.yaml",
        "daemonset.yaml",
        "controller-serviceaccount.yaml",
        "controller-role.yaml",
        "controller-rolebinding.yaml",
        "controller.yaml",
    ] {
        assert_eq!(
            document(manifest)["metadata"]["namespace"],
            namespace["metadata"]["name"],
            "{manifest}"
        );
    }
}

#[test]
fn the_dockerfile_starts_from_nothing_and_only_copies() {
    let file = text("image/Dockerfile");
    let steps: Vec<&str> = file.lines().filter(|line| !line.starts_with('#')).collect();
    let entry = r#"ENTRYPOINT ["/usr/bin/nvmeof-csi"]"#;
    assert_eq!(steps, ["FROM scratch", "COPY rootfs/ /", entry]);
}
