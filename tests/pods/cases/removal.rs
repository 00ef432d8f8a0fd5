//! What is taken away although its target does not answer.

use std::time::Duration;

use kernel_lab::cluster::order::Order;
use kernel_lab::cluster::settings;
use serde_json::json;

use crate::cluster::{Cluster, PATIENCE};
use crate::objects::{Mode, VOLUMES};
use crate::volume::Volume;

/// How long a write waits before anything is taken away.
const AWAY: Duration = Duration::from_secs(5);

pub(crate) fn a_pod_deleted_while_its_target_is_gone_goes_when_it_returns(cluster: &Cluster) {
    let volume = Volume::new(cluster, "gone", Mode::Filesystem);
    let pod = volume.pod("gone");
    pod.wait_writes(5, PATIENCE);
    cluster.order(&Order::Cut);
    pod.wait_stuck(AWAY);
    pod.delete();
    pod.wait_until_kubelet_ends_it();
    cluster.order(&Order::Join);
    pod.wait_gone(PATIENCE);
    volume.wait_unstaged(PATIENCE);
}

pub(crate) fn a_pod_deleted_while_its_target_is_gone_goes_once_it_is_let_go(cluster: &Cluster) {
    let volume = Volume::new(cluster, "let-go", Mode::Filesystem);
    let pod = volume.pod("let-go");
    pod.wait_writes(5, PATIENCE);
    cluster.order(&Order::Cut);
    pod.wait_stuck(AWAY);
    pod.delete();
    pod.wait_until_kubelet_ends_it();
    let nqn = settings::nqn("let-go");
    cluster.order(&Order::Run(format!(
        "{} release --nqn {nqn}",
        settings::HOST_PROGRAM
    )));
    pod.wait_gone(PATIENCE);
    volume.wait_unstaged(PATIENCE);
    cluster.order(&Order::Join);
}

pub(crate) fn a_namespace_is_deleted_with_its_volumes(cluster: &Cluster) {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "space"}});
    cluster.create("/api/v1/namespaces", &namespace);
    let volume = Volume::new_in(cluster, "space", "spaced", Mode::Filesystem);
    let pod = volume.pod("spaced");
    pod.wait_writes(5, PATIENCE);
    pod.expect_unharmed();
    cluster.delete("/api/v1/namespaces/space");
    cluster.eventually("the namespace to be gone", PATIENCE, |cluster| {
        cluster.is_gone("/api/v1/namespaces/space").then_some(())
    });
    volume.wait_unstaged(PATIENCE);
    let kept = cluster.get(&format!("{VOLUMES}/spaced"));
    let phase = kept.expect("the volume is kept")["status"]["phase"].clone();
    assert_eq!(phase, "Released");
}

pub(crate) fn a_node_that_reboots_during_an_outage_comes_back_with_its_pods(cluster: &Cluster) {
    let volume = Volume::new(cluster, "reboot", Mode::Filesystem);
    let pod = volume.pod("reboot");
    pod.wait_writes(10, PATIENCE);
    let written = pod.expect_unharmed().written;
    cluster.order(&Order::Cut);
    pod.wait_stuck(AWAY);
    cluster.reboot();
    cluster.order(&Order::Make {
        volume: "reboot".to_owned(),
        mib: 64,
    });
    let found = pod.found_again();
    assert!(found >= written, "{found} blocks of {written}");
    pod.finish();
    volume.wait_unstaged(PATIENCE);
}
