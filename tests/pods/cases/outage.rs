//! Targets that fail under a running pod: its writes wait, and none fails.

use std::time::{Duration, Instant};

use kernel_lab::cluster::order::Order;

use crate::cluster::{Cluster, PATIENCE};
use crate::objects::Mode;
use crate::volume::Volume;

/// How long a write waits before the target returns.
const AWAY: Duration = Duration::from_secs(10);
const CUT: Duration = Duration::from_secs(30);

pub(crate) fn an_export_that_comes_late_fails_no_write(cluster: &Cluster) {
    let withdraw = Order::Withdraw("late".to_owned());
    let export = Order::Export("late".to_owned());
    survive(cluster, "late", AWAY, &[withdraw], &[export]);
}

pub(crate) fn a_link_that_is_cut_for_30_s_fails_no_write(cluster: &Cluster) {
    survive(cluster, "cut", CUT, &[Order::Cut], &[Order::Join]);
}

pub(crate) fn a_target_that_restarts_fails_no_write(cluster: &Cluster) {
    survive(
        cluster,
        "restart",
        AWAY,
        &[Order::StopTarget],
        &[Order::StartTarget],
    );
}

pub(crate) fn controllers_that_are_deleted_fail_no_write(cluster: &Cluster) {
    let delete = Order::DeleteControllers("deleted".to_owned());
    survive(cluster, "deleted", Duration::ZERO, &[delete], &[]);
}

/// The target goes, a write waits for so long, the target returns.
fn survive(
    cluster: &Cluster,
    name: &'static str,
    wait: Duration,
    goes: &[Order],
    returns: &[Order],
) {
    let volume = Volume::new(cluster, name, Mode::Filesystem);
    let pod = volume.pod(name);
    pod.wait_writes(10, PATIENCE);
    for order in goes {
        cluster.order(order);
    }
    if !wait.is_zero() {
        pod.wait_stuck(wait);
    }
    for order in returns {
        cluster.order(order);
    }
    let returned = Instant::now();
    pod.wait_writes(1, PATIENCE);
    let back = returned.elapsed().as_secs_f64();
    pod.wait_writes(10, PATIENCE);
    let figures = pod.expect_unharmed();
    cluster.say(&format!("{figures}, back in {back:.1} s"));
    pod.finish();
    volume.wait_unstaged(PATIENCE);
}
