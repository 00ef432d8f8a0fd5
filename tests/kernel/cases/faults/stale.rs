//! Losses that reach the mounts, because nothing holds the I/O: what is stale is mounted anew.

use std::fs::{self, File};
use std::time::{Duration, Instant};

use super::Running;
use super::commands::killed_at;
use super::restarts::restarted;
use crate::case::Case;
use crate::disk::mountinfo_line;
use crate::host::REPORT;
use crate::plugin::{Use, is_mounted, write_and_read};
use crate::scene::eventually;

pub(super) const CASES: &[Case] = &[
    Case::new("row_7_an_idle_volume_is_mounted_anew", idle),
    Case::new(
        "row_7_a_repair_that_is_killed_halfway_is_ended_by_the_next_plugin",
        killed_halfway,
    ),
    Case::new(
        "row_8_a_volume_in_use_is_mounted_anew_after_its_use",
        in_use,
    ),
    Case::new("row_9_the_next_publish_gets_the_right_device", published),
];

/// What is promised is ten seconds; an emulated machine may take twice as long.
const WITHIN: Duration = Duration::from_secs(20);
pub(super) const REMOUNTED: &str = "nvmeof_csi_recoveries_total{result=\"remounted\"}";
pub(super) const REFUSED: &str = "nvmeof_csi_recoveries_total{result=\"in_use\"}";

/// Which mount it is, whatever has happened to its filesystem.
fn id_and_device(line: Option<String>) -> Vec<String> {
    let line = line.expect("it is mounted");
    line.split(' ').take(3).map(str::to_owned).collect()
}

fn start() -> Running {
    let hold = [("pathLossHold", "none"), ("ctrlLossTmo", "2")];
    let running = Running::start(Use::Filesystem("ext4"), &hold);
    write_and_read(&running.volume.target());
    running
}

/// Waits until nothing is wrong with the volume, and what was written is there; returns how long that took, in seconds.
pub(super) fn whole(running: &Running) -> f64 {
    let since = Instant::now();
    eventually("the volume to be whole", || {
        let health = running.plugin.health(&running.volume);
        health.expect("an answer").is_empty().then_some(())
    });
    let took = since.elapsed();
    assert!(took < WITHIN, "{took:?}");
    let kept = fs::read(running.volume.target().join("file")).expect("a read");
    assert_eq!(kept, b"kept");
    write_and_read(&running.volume.target());
    took.as_secs_f64()
}

fn idle() {
    let running = start();
    running.withdraw();
    running.export();
    let took = whole(&running);
    eprintln!("{REPORT}row 7, idle: mounted anew after {took:.1} s");
    let plugin = &running.plugin;
    assert_eq!(plugin.metric(REMOUNTED), 1);
    let stale = ["device_gone", "other_device", "filesystem_dead"];
    let stale = stale.map(|kind| format!("nvmeof_csi_stale_mounts_total{{reason=\"{kind}\"}}"));
    let seen: u64 = stale.iter().map(|name| plugin.metric(name)).sum();
    assert!(seen > 0, "a stale mount is counted");
    running.end();
}

/// When nothing of the volume is mounted any more, and nothing yet.
fn killed_halfway() {
    let lose = |running: &Running| {
        running.withdraw();
        running.export();
    };
    let running = killed_at("repair-", "mount", "mount(", lose, start());
    assert!(!is_mounted(&running.volume.staging()));
    assert!(!is_mounted(&running.volume.target()));
    let running = restarted(running);
    eventually("the pod to have its volume again", || {
        is_mounted(&running.volume.target()).then_some(())
    });
    whole(&running);
    running.end();
}

fn in_use() {
    let running = start();
    let target = running.volume.target();
    let held = File::open(target.join("file")).expect("a file");
    let mounted = mountinfo_line(&target.display().to_string());
    running.withdraw();
    running.export();
    eventually("the stale mount to be told", || {
        let health = running.plugin.health(&running.volume);
        let health = health.expect("an answer");
        health
            .iter()
            .any(|reason| reason == "StaleMount")
            .then_some(())
    });
    eventually("a repair to be refused", || {
        (running.plugin.metric(REFUSED) > 0).then_some(())
    });
    let still = mountinfo_line(&target.display().to_string());
    assert_eq!(id_and_device(still), id_and_device(mounted), "it is in use");
    assert_eq!(running.plugin.metric(REMOUNTED), 0);
    drop(held);
    let took = whole(&running);
    eprintln!("{REPORT}row 8, after the close: mounted anew after {took:.1} s");
    running.end();
}

fn published() {
    let running = start();
    running
        .plugin
        .unpublish(&running.volume)
        .expect("unpublish");
    running.withdraw();
    running.export();
    let since = Instant::now();
    eventually("the volume to be published", || {
        running.plugin.publish(&running.volume).ok()
    });
    let took = since.elapsed().as_secs_f64();
    let kept = fs::read(running.volume.target().join("file")).expect("a read");
    assert_eq!(kept, b"kept");
    write_and_read(&running.volume.target());
    eprintln!("{REPORT}row 9, published: after {took:.1} s");
    running.end();
}
