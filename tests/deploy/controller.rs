//! The Deployment: the pods in which controller and attacher stand beside each other.

use serde_json::Value;

use crate::files::{document, list, string};

fn pod() -> Value {
    document("controller.yaml")["spec"]["template"]["spec"].clone()
}

/// The controller and the attacher.
fn containers() -> [Value; 2] {
    let containers = list(&pod()["containers"]).to_vec();
    let containers = <[Value; 2]>::try_from(containers).expect("two containers");
    let names = containers
        .each_ref()
        .map(|one| string(&one["name"]).to_owned());
    assert_eq!(names, ["controller", "attacher"]);
    containers
}

/// The controller's arguments as they are written.
pub(crate) fn arguments() -> Vec<String> {
    let [controller, _] = containers();
    let arguments = list(&controller["args"]).iter();
    arguments.map(|word| string(word).to_owned()).collect()
}

fn argument(container: &Value, option: &str) -> String {
    let prefix = format!("{option}=");
    let mut words = list(&container["args"]).iter().map(string);
    let value = words.find_map(|word| word.strip_prefix(&prefix));
    value
        .unwrap_or_else(|| panic!("{option} is not given"))
        .to_owned()
}

#[test]
fn the_pod_has_no_privileges_and_nothing_of_its_host() {
    let pod = pod();
    for key in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(pod[key].is_null(), "{key}");
    }
    for volume in list(&pod["volumes"]) {
        assert!(volume["hostPath"].is_null(), "{volume:?}");
    }
    let context = &pod["securityContext"];
    assert_eq!(context["runAsNonRoot"].as_bool(), Some(true));
    assert_eq!(
        context["seccompProfile"]["type"].as_str(),
        Some("RuntimeDefault")
    );
    for container in containers() {
        let context = &container["securityContext"];
        assert_eq!(context["allowPrivilegeEscalation"].as_bool(), Some(false));
        assert_eq!(context["readOnlyRootFilesystem"].as_bool(), Some(true));
        let [dropped] = list(&context["capabilities"]["drop"]) else {
            panic!("{context:?}");
        };
        assert_eq!(dropped.as_str(), Some("ALL"));
    }
}

#[test]
fn both_containers_are_one_user_because_the_socket_is_its_owners() {
    let user = pod()["securityContext"]["runAsUser"].as_i64();
    assert!(user.is_some_and(|user| user > 0), "{user:?}");
    for container in containers() {
        let own = &container["securityContext"]["runAsUser"];
        assert!(own.is_null(), "{own:?}");
    }
}

#[test]
fn the_attacher_calls_the_socket_that_the_controller_serves_in_a_directory_of_both() {
    let [controller, attacher] = containers();
    let socket = argument(&attacher, "--csi-address");
    assert_eq!(
        argument(&controller, "--endpoint"),
        format!("unix://{socket}")
    );
    let pod = pod();
    let [volume] = list(&pod["volumes"]) else {
        panic!("one volume");
    };
    assert!(!volume["emptyDir"].is_null(), "{volume:?}");
    for container in [controller, attacher] {
        let [mount] = list(&container["volumeMounts"]) else {
            panic!("one mount");
        };
        assert_eq!(mount["name"], volume["name"]);
        let directory = string(&mount["mountPath"]);
        assert!(socket.starts_with(&format!("{directory}/")), "{directory}");
    }
}

#[test]
fn the_controller_has_the_csidrivers_name_and_the_image_of_this_version() {
    let [controller, _] = containers();
    let driver = document("csidriver.yaml");
    let name = string(&driver["metadata"]["name"]);
    assert_eq!(argument(&controller, "--driver-name"), name);
    let image = format!("nvmeof-csi:{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(string(&controller["image"]), image);
}

#[test]
fn the_attacher_is_pinned_and_only_one_of_two_works() {
    let [_, attacher] = containers();
    let image = string(&attacher["image"]);
    assert_eq!(image, "registry.k8s.io/sig-storage/csi-attacher:v4.13.0");
    let mut words = list(&attacher["args"]).iter().map(string);
    assert!(words.any(|word| word == "--leader-election"));
    assert_eq!(
        document("controller.yaml")["spec"]["replicas"].as_i64(),
        Some(2)
    );
}

#[test]
fn a_refused_node_asks_again_before_the_controller_takes_it_for_gone() {
    let [_, attacher] = containers();
    let seconds = |option| {
        let value = argument(&attacher, option);
        let number = value.strip_suffix('s').expect("seconds");
        number.parse::<u32>().expect("a number")
    };
    // A call may last as long as its time-out; SILENCE in src/cluster/requests.rs.
    let between = seconds("--retry-interval-max") + seconds("--timeout");
    assert!(between < 120, "{between} s");
}

#[test]
fn kubelet_probes_what_the_containers_serve() {
    let [controller, attacher] = containers();
    for (container, option, probes) in [
        (
            controller,
            "--admin-address",
            &[("livenessProbe", "/live"), ("readinessProbe", "/ready")][..],
        ),
        (
            attacher,
            "--http-endpoint",
            &[("livenessProbe", "/healthz/leader-election")][..],
        ),
    ] {
        let [port] = list(&container["ports"]) else {
            panic!("one port");
        };
        let address = argument(&container, option);
        let (host, number) = address.rsplit_once(':').expect("a port");
        assert_eq!(
            host, "",
            "kubelet asks at the pod's first address, of IPv4 or IPv6"
        );
        assert_eq!(port["containerPort"].as_i64(), number.parse().ok());
        for (probe, path) in probes {
            let get = &container[*probe]["httpGet"];
            assert_eq!(get["port"], port["name"], "{probe}");
            assert_eq!(get["path"].as_str(), Some(*path), "{probe}");
        }
    }
}

#[test]
fn the_pods_that_a_selector_chooses_are_those_of_the_template() {
    for manifest in ["controller.yaml", "daemonset.yaml"] {
        let spec = document(manifest)["spec"].clone();
        let labels = &spec["template"]["metadata"]["labels"];
        assert_eq!(&spec["selector"]["matchLabels"], labels, "{manifest}");
    }
    let deployment = document("controller.yaml");
    assert_ne!(
        deployment["spec"]["selector"],
        document("daemonset.yaml")["spec"]["selector"],
        "each would take the other's pods"
    );
}
