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
    wait_told(cluster, "told", "PathLost");
    cluster.order(&Order::Join);
    wait_told(cluster, "told", "PathRestored");
    let described = describe(cluster, "told");
    let (_, events) = described.rsplit_once("Events:").expect("events");
    cluster.say(events);
    pod.wait_writes(5, PATIENCE);
    pod.expect_unharmed();
    pod.finish();
    volume.wait_unstaged(PATIENCE);
}

pub(crate) fn a_volume_that_cannot_be_staged_is_told_by_kubectl_describe_pvc(cluster: &Cluster) {
    let volume = Volume::new(cluster, "hidden", Mode::Filesystem);
    volume.wait_bound();
    cluster.order(&Order::Withdraw("hidden".to_owned()));
    let pod = volume.pod("hidden");
    // kubelet tries again, and that is no other event.
    wait_told(cluster, "hidden", "(x2 over");
    let described = describe(cluster, "hidden");
    let (_, events) = described.rsplit_once("Events:").expect("events");
    cluster.say(events);
    cluster.order(&Order::Export("hidden".to_owned()));
    pod.wait_writes(1, PATIENCE);
    pod.expect_unharmed();
    pod.finish();
    volume.wait_unstaged(PATIENCE);
}

fn describe(cluster: &Cluster, claim: &str) -> String {
    cluster.kubectl(&["describe", "pvc", claim])
}

fn wait_told(cluster: &Cluster, claim: &str, words: &str) {
    cluster.eventually(words, PATIENCE, |cluster| {
        describe(cluster, claim).contains(words).then_some(())
    });
}
