//! Targets that never return: what waits is let go, and the volume leaves.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use super::Running;
use crate::case::Case;
use crate::host::REPORT;
use crate::plugin::{Use, is_mounted};
use crate::scene::{cli, controllers, eventually};

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
        "row_15_a_volume_with_unsynced_data_leaves_though_its_target_never_returns",
        leaves,
    ),
    Case::new("row_15_a_held_write_fails_at_once_when_released", released),
];

const TIMEOUT: Duration = Duration::from_secs(10);
/// Between the end of a release and that of what it frees.
const FAILS_WITHIN: Duration = Duration::from_secs(1);
const LEAVES_WITHIN: Duration = Duration::from_secs(60);

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

/// What a process that has ended has written and not synced waits in the page cache.
fn leaves() {
    let running = Running::start(Use::Filesystem("ext4"), &[]);
    let path = running.volume.target().join("unsynced");
    let page = [1; 4096];
    fs::write(&path, page).expect("a file");
    let file = File::options().write(true).open(&path).expect("the file");
    file.sync_all().expect("it is on the disk");
    running.cut();
    // The place of a block that is there already is known without a read.
    file.write_all_at(&page, 0).expect("a write into the cache");
    drop(file);
    let leaving = Instant::now();
    leave(&running);
    let took = leaving.elapsed();
    assert!(took < LEAVES_WITHIN, "{took:?}");
    eprintln!(
        "{REPORT}row 15: gone {:.1} s after the call",
        took.as_secs_f64()
    );
}

/// A process that waits hears of the release at once, and only then can its pod end.
fn released() {
    let running = Running::start(Use::Filesystem("ext4"), &[]);
    let writer = running.writer();
    running.cut();
    let waiting = writer.written();
    assert!(!running.is_whole());
    writer.still_waits(waiting);
    cli(&["release", "--all"]).expect(0);
    let released = Instant::now();
    let failure = writer.wait_for_failure();
    let after = failure.at.saturating_duration_since(released);
    assert!(after < FAILS_WITHIN, "{after:?}");
    drop(writer);
    leave(&running);
    let took = released.elapsed();
    assert!(took < LEAVES_WITHIN, "{took:?}");
    eprintln!(
        "{REPORT}row 15, released: the held write failed {:.1} s after the call ({}), gone after {:.1} s",
        after.as_secs_f64(),
        failure.error,
        took.as_secs_f64()
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
