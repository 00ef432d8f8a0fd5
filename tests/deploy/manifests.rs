//! The manifests but the DaemonSet, and the Dockerfile.

use std::collections::BTreeSet;
use std::fs;

use yaml_rust2::Yaml;

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
fn the_csidriver_needs_no_attacher_and_leaves_ownership_to_kubelet() {
    let driver = document("csidriver.yaml");
    assert_eq!(driver["kind"].as_str(), Some("CSIDriver"));
    let spec = &driver["spec"];
    assert_eq!(spec["attachRequired"].as_bool(), Some(false));
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
    for manifest in ["serviceaccount.yaml", "daemonset.yaml"] {
        assert_eq!(
            document(manifest)["metadata"]["namespace"],
            namespace["metadata"]["name"],
            "{manifest}"
        );
    }
}

#[test]
fn only_the_plugins_own_pods_get_a_token() {
    let account = document("serviceaccount.yaml");
    let pod = &document("daemonset.yaml")["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], account["metadata"]["name"]);
    let mounts = |holder: &Yaml| holder["automountServiceAccountToken"].as_bool();
    assert_eq!(mounts(&account), Some(false));
    assert_eq!(mounts(pod), Some(true));
}

#[test]
fn the_role_is_bound_to_the_account_and_allows_events_and_look_ups_only() {
    let role = document("clusterrole.yaml");
    let granted: BTreeSet<String> = list(&role["rules"]).iter().flat_map(grants).collect();
    let wanted = [
        "create events",
        "get persistentvolumeclaims",
        "get pods",
        "list persistentvolumes",
        "patch events",
    ];
    assert!(granted.iter().eq(wanted.iter()), "{granted:?}");
    let binding = document("clusterrolebinding.yaml");
    let account = document("serviceaccount.yaml");
    assert_eq!(binding["roleRef"]["kind"], role["kind"]);
    assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);
    let [subject] = list(&binding["subjects"]) else {
        panic!("one subject");
    };
    assert_eq!(subject["kind"], account["kind"]);
    for key in ["name", "namespace"] {
        assert_eq!(subject[key], account["metadata"][key], "{key}");
    }
}

/// Each verb and resource of a rule, which is about the core group and about no names.
fn grants(rule: &Yaml) -> Vec<String> {
    let words = |key: &str| list(&rule[key]).iter().map(string);
    assert_eq!(words("apiGroups").collect::<Vec<_>>(), [""]);
    let resources = words("resources").collect::<Vec<_>>();
    words("verbs")
        .flat_map(|verb| resources.iter().map(move |name| format!("{verb} {name}")))
        .collect()
}

#[test]
fn the_dockerfile_starts_from_nothing_and_only_copies() {
    let file = text("image/Dockerfile");
    let steps: Vec<&str> = file.lines().filter(|line| !line.starts_with('#')).collect();
    let entry = r#"ENTRYPOINT ["/usr/bin/nvmeof-csi"]"#;
    assert_eq!(steps, ["FROM scratch", "COPY rootfs/ /", entry]);
}
