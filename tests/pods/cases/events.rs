//! What people read.

use kernel_lab::cluster::order::Order;

use crate::cluster::{Cluster, PATIENCE};
use crate::objects::Mode;
use crate::volume::Volume;

pub(crate) fn an_outage_is_told_by_kubectl_describe_pvc(cluster: &Cluster) {
    let volume = Volume::new(cluster, "told", Mode::Filesystem);
    let pod = volume.pod("told");
    pod.wait_writes(1, PATIENCE);
    cluster.order(&Order::Cut);
    wait_told(cluster, "PathLost");
    cluster.order(&Order::Join);
    wait_told(cluster, "PathRestored");
    let described = describe(cluster);
    let (_, events) = described.rsplit_once("Events:").expect("events");
    cluster.say(events);
    pod.wait_writes(5, PATIENCE);
    pod.expect_unharmed();
    pod.finish();
    volume.wait_unstaged(PATIENCE);
}

fn describe(cluster: &Cluster) -> String {
    cluster.kubectl(&["describe", "pvc", "told"])
}

fn wait_told(cluster: &Cluster, reason: &str) {
    cluster.eventually(reason, PATIENCE, |cluster| {
        describe(cluster).contains(reason).then_some(())
    });
}
