//! The driver and kubelet come and go, and pods with volumes go on.

use kernel_lab::cluster::order::Order;

use crate::cluster::{Cluster, NAMESPACE, PATIENCE};
use crate::objects::{Mode, collection};
use crate::volume::Volume;

/// The DaemonSet of the manifests, for kubectl.
const SET: &str = "daemonset/nvmeof-csi-node";
/// How the command line of the driver begins; the controller is the same program.
const PROGRAM: &str = "nvmeof-csi node";

pub(crate) fn kubelet_registers_the_driver(cluster: &Cluster) {
    let entry = cluster.wait_for_registration();
    let id = entry["nodeID"].as_str().expect("a node ID");
    assert!(id.starts_with("node-a/nqn."), "{entry}");
    let log = cluster.log("kubelet");
    let mut lines = log.lines();
    let line = lines.find(|line| line.contains("Register new plugin with name"));
    let line = line.expect("kubelet says that it registers a plugin");
    cluster.say(&format!("kubelet: {line}"));
}

pub(crate) fn a_driver_pod_that_is_deleted_fails_no_write(cluster: &Cluster) {
    survive(cluster, "pod", || {
        let old = driver_pod(cluster);
        cluster.delete(&format!("{}/{}", pods(), old.0));
        wait_for_another(cluster, &old);
    });
}

pub(crate) fn a_driver_that_is_killed_fails_no_write(cluster: &Cluster) {
    survive(cluster, "kill", || {
        let (name, restarts) = driver_pod(cluster);
        let killed = cluster.order(&Order::Kill(PROGRAM.to_owned()));
        assert_eq!(killed.lines().count(), 1, "{killed}");
        cluster.eventually("the driver to be restarted", PATIENCE, |cluster| {
            let now = find_driver_pod(cluster)?;
            (now.0 == name && now.1 > restarts).then_some(())
        });
    });
}

pub(crate) fn a_daemon_set_that_is_rolled_fails_no_write(cluster: &Cluster) {
    survive(cluster, "roll", || {
        let old = driver_pod(cluster);
        cluster.kubectl(&["--namespace", NAMESPACE, "rollout", "restart", SET]);
        wait_for_another(cluster, &old);
    });
}

pub(crate) fn a_kubelet_that_restarts_fails_no_write(cluster: &Cluster) {
    survive(cluster, "kubelet", || {
        let registered = registrations(cluster);
        cluster.order(&Order::Restart("kubelet".to_owned()));
        cluster.eventually("kubelet to register the driver anew", PATIENCE, |cluster| {
            (registrations(cluster) > registered).then_some(())
        });
    });
}

fn registrations(cluster: &Cluster) -> usize {
    let log = cluster.log("kubelet");
    log.matches("Register new plugin with name").count()
}

/// A pod writes while `what` happens, and goes on; a second volume is then staged by the driver that there is.
fn survive(cluster: &Cluster, name: &'static str, what: impl FnOnce()) {
    let volume = Volume::new(cluster, name, Mode::Filesystem);
    let pod = volume.pod(name);
    pod.wait_writes(10, PATIENCE);
    what();
    cluster.wait_for_registration();
    pod.wait_writes(10, PATIENCE);
    let figures = pod.expect_unharmed();
    cluster.say(&figures.to_string());
    // Unpublish, unstage and all that comes before, by the new one.
    pod.finish();
    let pod = volume.pod("after");
    assert!(pod.found() > 0);
    pod.wait_writes(5, PATIENCE);
    pod.expect_unharmed();
    pod.finish();
    volume.wait_unstaged(PATIENCE);
}

fn pods() -> String {
    collection(NAMESPACE, "pods")
}

/// The running driver's pod: its name, and how often its container was restarted.
fn find_driver_pod(cluster: &Cluster) -> Option<(String, u64)> {
    let pods = cluster.get(&pods())?;
    let mut pods = pods["items"].as_array()?.iter().filter(|pod| {
        let labels = &pod["metadata"]["labels"];
        labels["app.kubernetes.io/component"] == "node"
            && pod["metadata"]["deletionTimestamp"].is_null()
    });
    let pod = pods.next()?;
    let container = &pod["status"]["containerStatuses"][0];
    let name = pod["metadata"]["name"].as_str()?.to_owned();
    let ready = container["ready"] == true;
    ready.then_some((name, container["restartCount"].as_u64()?))
}

fn driver_pod(cluster: &Cluster) -> (String, u64) {
    cluster.eventually("a driver that is ready", PATIENCE, find_driver_pod)
}

fn wait_for_another(cluster: &Cluster, old: &(String, u64)) {
    cluster.eventually("another pod of the driver", PATIENCE, |cluster| {
        (find_driver_pod(cluster)?.0 != old.0).then_some(())
    });
}
