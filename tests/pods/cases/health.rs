//! What kubelet asks about volumes, every 20 s here, and shows.

use std::time::Duration;

use kernel_lab::cluster::order::Order;
use kernel_lab::cluster::settings;
use serde_json::Value;

use crate::cluster::{Cluster, DRIVER, PATIENCE};
use crate::objects::Mode;
use crate::volume::Volume;

pub(crate) fn kubelet_is_told_how_full_volumes_are(cluster: &Cluster) {
    let files = Volume::new(cluster, "usage-files", Mode::Filesystem);
    let block = Volume::new(cluster, "usage-block", Mode::Block);
    let (writer, other) = (files.pod("usage-files"), block.pod("usage-block"));
    writer.wait_writes(1, PATIENCE);
    other.wait_writes(1, PATIENCE);
    for (name, metric) in [
        ("usage-files", "kubelet_volume_stats_capacity_bytes"),
        ("usage-files", "kubelet_volume_stats_inodes_used"),
        ("usage-block", "kubelet_volume_stats_capacity_bytes"),
    ] {
        let path = format!("/api/v1/nodes/{}/proxy/metrics", settings::NODE);
        let claim = format!("persistentvolumeclaim=\"{name}\"");
        let line = cluster.eventually(metric, PATIENCE, |cluster| {
            let metrics = cluster.text(&path)?;
            let mut lines = metrics.lines();
            let line = lines.find(|line| line.starts_with(metric) && line.contains(&claim));
            line.map(str::to_owned)
        });
        cluster.say(&line);
    }
    writer.finish();
    other.finish();
    files.wait_unstaged(PATIENCE);
    block.wait_unstaged(PATIENCE);
}

/// Longer than kubelet's period, and what it takes to write the status.
const A_FEW_PERIODS: Duration = Duration::from_secs(200);

pub(crate) fn a_lost_target_shows_in_the_health_of_pod_and_driver_until_it_returns(
    cluster: &Cluster,
) {
    let volume = Volume::new(cluster, "health", Mode::Filesystem);
    let pod = volume.pod("health");
    pod.wait_writes(1, PATIENCE);
    let of_the_pod = || first_condition(&pod.object()?["status"]["volumeHealth"]);
    let path = format!("/apis/storage.k8s.io/v1/csinodes/{}", settings::NODE);
    let of_the_driver = || {
        let node = cluster.get(&path)?;
        first_condition(&node["status"]["storageHealth"])
    };
    assert_eq!(of_the_pod(), None);
    cluster.order(&Order::Cut);
    let shown = cluster.eventually("the health of the pod", A_FEW_PERIODS, |_| of_the_pod());
    cluster.say(&format!("pod: {shown}"));
    let shown = cluster.eventually("that of the driver", A_FEW_PERIODS, |_| of_the_driver());
    cluster.say(&format!("{DRIVER}: {shown}"));
    cluster.order(&Order::Join);
    cluster.eventually("the pod to be well", A_FEW_PERIODS, |_| {
        of_the_pod().is_none().then_some(())
    });
    cluster.eventually("the driver to be well", A_FEW_PERIODS, |_| {
        of_the_driver().is_none().then_some(())
    });
    pod.wait_writes(5, PATIENCE);
    pod.expect_unharmed();
    pod.finish();
    volume.wait_unstaged(PATIENCE);
}

/// The first condition of all entries of a list.
fn first_condition(list: &Value) -> Option<Value> {
    let mut entries = list.as_array()?.iter();
    entries.find_map(|entry| entry["healthConditions"].as_array()?.first().cloned())
}
