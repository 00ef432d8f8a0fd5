//! What a pod asks of its volume.

use serde_json::json;

use crate::cluster::{Cluster, PATIENCE};
use crate::objects::{Mode, PodOptions};
use crate::volume::Volume;

pub(crate) fn a_volume_belongs_to_the_group_of_the_pod(cluster: &Cluster) {
    let volume = Volume::new(cluster, "group", Mode::Filesystem);
    let security = json!({"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 2000});
    let options = PodOptions {
        security,
        read_only: false,
    };
    let pod = volume.pod_with("group", &options);
    // kubelet gives the group the volume, and what is made in it.
    assert_eq!(pod.owner(), "0:2000 2775");
    pod.wait_writes(10, PATIENCE);
    pod.expect_unharmed();
    pod.finish();
    volume.wait_unstaged(PATIENCE);
}

pub(crate) fn a_volume_that_is_only_read_refuses_writes(cluster: &Cluster) {
    let volume = Volume::new(cluster, "read", Mode::Filesystem);
    let options = PodOptions {
        read_only: true,
        ..PodOptions::default()
    };
    let pod = volume.pod_with("read", &options);
    let refused = pod.refused();
    assert!(refused.contains("Read-only file system"), "{refused}");
    pod.finish();
    volume.wait_unstaged(PATIENCE);
}
