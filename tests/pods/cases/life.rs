//! Volumes from their first use to their last.

use std::time::Instant;

use crate::cluster::{Cluster, PATIENCE};
use crate::objects::Mode;
use crate::volume::Volume;

pub(crate) fn a_pod_writes_to_a_static_filesystem_volume(cluster: &Cluster) {
    write_to(cluster, "first", Mode::Filesystem);
}

pub(crate) fn a_pod_writes_to_a_raw_block_volume(cluster: &Cluster) {
    write_to(cluster, "block", Mode::Block);
}

/// One life of a volume, with the time that each stage takes.
fn write_to(cluster: &Cluster, name: &'static str, mode: Mode) {
    let began = Instant::now();
    let volume = Volume::new(cluster, name, mode);
    let pod = volume.pod(name);
    volume.wait_bound();
    let bound = began.elapsed().as_secs_f64();
    pod.wait_running();
    let running = began.elapsed().as_secs_f64();
    cluster.say(&format!(
        "bound {bound:.1} s and running {running:.1} s after its objects were made"
    ));
    for line in pod.stages() {
        cluster.say(&line);
    }
    pod.wait_writes(10, PATIENCE);
    assert_eq!(pod.found(), 0);
    pod.expect_unharmed();
    let ends = Instant::now();
    pod.finish();
    volume.wait_unstaged(PATIENCE);
    let took = ends.elapsed().as_secs_f64();
    cluster.say(&format!(
        "off the node {took:.1} s after the pod's deletion"
    ));
}

pub(crate) fn the_next_pod_finds_what_the_last_one_wrote(cluster: &Cluster) {
    let volume = Volume::new(cluster, "two", Mode::Filesystem);
    let pod = volume.pod("two-a");
    pod.wait_writes(10, PATIENCE);
    let written = pod.expect_unharmed().written;
    pod.finish();
    let pod = volume.pod("two-b");
    let found = pod.found();
    assert!(found >= written, "{found} blocks of {written}");
    pod.wait_writes(10, PATIENCE);
    pod.expect_unharmed();
    pod.finish();
    volume.wait_unstaged(PATIENCE);
}
