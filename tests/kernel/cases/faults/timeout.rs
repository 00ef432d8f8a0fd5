//! Targets that never return: what waits is let go, and the volume leaves.

use std::time::{Duration, Instant};

use super::{Running, gone};
use crate::case::Case;
use crate::host::REPORT;
use crate::plugin::{Use, is_mounted};
use crate::scene::{controllers, eventually, net};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "row_14_io_of_a_cut_link_fails_after_its_timeout_and_not_before",
        || let_go("link cut", Running::cut),
    ),
    Case::new(
        "row_14_io_of_a_gone_target_fails_after_its_timeout_and_not_before",
        || let_go("target gone", Running::withdraw),
    ),
    Case::new(
        "row_15_a_volume_with_a_parked_write_leaves_though_its_target_never_returns",
        leaves,
    ),
];

const TIMEOUT: Duration = Duration::from_secs(10);

fn let_go(what: &str, lose: fn(&Running)) {
    let running = Running::start(Use::Filesystem("ext4"), &[("pathLossTimeout", "10s")]);
    let writer = running.writer();
    let began = Instant::now();
    lose(&running);
    let failure = writer.wait_for_failure();
    let after = failure.at - began;
    assert!(after >= TIMEOUT, "{after:?}: {}", failure.error);
    let leaving = Instant::now();
    drop(writer);
    leave(&running);
    eprintln!(
        "{REPORT}row 14, {what}: failed after {:.1} s ({}), gone {:.1} s later",
        after.as_secs_f64(),
        failure.error,
        leaving.elapsed().as_secs_f64()
    );
}

fn leaves() {
    let running = Running::start(Use::Filesystem("ext4"), &[]);
    let writer = running.writer();
    net::set_down("v0").expect("the cable is pulled");
    gone();
    let leaving = Instant::now();
    leave(&running);
    let failure = writer.wait_for_failure();
    eprintln!(
        "{REPORT}row 15: the parked write failed {:.1} s ({}), gone {:.1} s after the call",
        (failure.at - leaving).as_secs_f64(),
        failure.error,
        leaving.elapsed().as_secs_f64()
    );
}

/// As kubelet does: each call again until it succeeds.
fn leave(running: &Running) {
    let (plugin, volume) = (&running.plugin, &running.volume);
    eventually("the volume to be unpublished", || {
        plugin.unpublish(volume).ok()
    });
    eventually("the volume to be unstaged", || plugin.unstage(volume).ok());
    assert!(!is_mounted(&volume.staging()));
    assert_eq!(controllers(), Vec::<String>::new());
}
