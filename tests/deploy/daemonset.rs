//! The DaemonSet: the pod that the node plugin runs in.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::files::{document, list, string};

fn pod() -> Value {
    document("daemonset.yaml")["spec"]["template"]["spec"].clone()
}

fn container() -> Value {
    let pod = pod();
    let [container] = list(&pod["containers"]) else {
        panic!("one container: no sidecar is needed");
    };
    container.clone()
}

/// The container's arguments as they are written.
pub(crate) fn arguments() -> Vec<String> {
    let container = container();
    let arguments = list(&container["args"]).iter();
    arguments.map(|word| string(word).to_owned()).collect()
}

/// The value of an argument.
pub(crate) fn argument(option: &str) -> String {
    let prefix = format!("{option}=");
    let value = arguments()
        .into_iter()
        .find_map(|word| word.strip_prefix(&prefix).map(str::to_owned));
    value.unwrap_or_else(|| panic!("{option} is not given"))
}

#[test]
fn the_plugin_shares_the_hosts_network_and_processes() {
    let pod = pod();
    assert_eq!(pod["hostNetwork"].as_bool(), Some(true));
    assert_eq!(pod["hostPID"].as_bool(), Some(true));
}

#[test]
fn the_plugin_runs_on_every_node_before_what_needs_it() {
    let pod = pod();
    assert_eq!(
        pod["priorityClassName"].as_str(),
        Some("system-node-critical")
    );
    let [toleration] = list(&pod["tolerations"]) else {
        panic!("one toleration");
    };
    assert_eq!(toleration["operator"].as_str(), Some("Exists"));
    for narrower in ["key", "effect"] {
        assert!(toleration[narrower].is_null(), "{toleration:?}");
    }
}

#[test]
fn the_container_is_privileged_for_its_mounts_and_its_root_is_read_only() {
    let container = container();
    let context = &container["securityContext"];
    assert_eq!(context["privileged"].as_bool(), Some(true));
    assert_eq!(context["readOnlyRootFilesystem"].as_bool(), Some(true));
    let message = string(&container["terminationMessagePath"]);
    assert!(!message.starts_with("/dev/"), "{message}");
}

#[test]
fn each_host_directory_is_mounted_at_its_own_path() {
    let pod = pod();
    let volumes: BTreeMap<&str, &str> = list(&pod["volumes"])
        .iter()
        .map(|volume| {
            let path = string(&volume["hostPath"]["path"]);
            (string(&volume["name"]), path)
        })
        .collect();
    let container = container();
    let mounts: BTreeMap<&str, &str> = list(&container["volumeMounts"])
        .iter()
        .map(|mount| (string(&mount["name"]), string(&mount["mountPath"])))
        .collect();
    assert_eq!(volumes, mounts);
    let mut paths: Vec<&str> = volumes.into_values().collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        [
            "/dev",
            "/etc/nvme",
            "/lib/modules",
            "/run/nvme",
            "/sys",
            "/var/lib/kubelet"
        ]
    );
}

#[test]
fn only_kubelets_directory_propagates_mounts_and_it_is_the_one_the_program_is_told() {
    let container = container();
    let propagating: Vec<(&str, &str)> = list(&container["volumeMounts"])
        .iter()
        .filter(|mount| !mount["mountPropagation"].is_null())
        .map(|mount| {
            let propagation = string(&mount["mountPropagation"]);
            (string(&mount["mountPath"]), propagation)
        })
        .collect();
    let told = argument("--kubelet-dir");
    assert_eq!(propagating, [(told.as_str(), "Bidirectional")]);
}

#[test]
fn kubelet_probes_the_admin_address_on_loopback() {
    let container = container();
    for (probe, path) in [("livenessProbe", "/live"), ("readinessProbe", "/ready")] {
        let get = &container[probe]["httpGet"];
        let port = get["port"].as_i64().expect("a number");
        let address = format!("{}:{port}", string(&get["host"]));
        assert_eq!(address, "127.0.0.1:9809", "{probe}");
        assert_eq!(address, argument("--admin-address"), "{probe}");
        assert_eq!(get["path"].as_str(), Some(path), "{probe}");
        assert_eq!(container["ports"][0]["containerPort"].as_i64(), Some(port));
    }
}

#[test]
fn the_node_id_is_the_nodes_name() {
    let container = container();
    let [variable] = list(&container["env"]) else {
        panic!("one variable");
    };
    let name = string(&variable["name"]);
    assert_eq!(argument("--node-id"), format!("$({name})"));
    let field = &variable["valueFrom"]["fieldRef"]["fieldPath"];
    assert_eq!(field.as_str(), Some("spec.nodeName"));
}

#[test]
fn the_driver_has_the_csidrivers_name() {
    let driver = document("csidriver.yaml");
    assert_eq!(
        argument("--driver-name"),
        string(&driver["metadata"]["name"])
    );
}

#[test]
fn the_image_is_of_this_version() {
    let image = format!("nvmeof-csi:{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(string(&container()["image"]), image);
}
