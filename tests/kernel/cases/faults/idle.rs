//! What a volume costs that is held.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use kernel_lab::guest::nvmet::Subsystem;
use nix::sys::signal::{Signal, kill};

use super::fleet::{bring, member, take_away};
use super::restarts::{assert_nothing_is_suspended, process};
use super::{Running, gone};
use crate::case::Case;
use crate::host::REPORT;
use crate::plugin::{Plugin, Use, Volume};
use crate::scene::{Scene, eventually, target};
use crate::strace::{attach, threads};
use crate::writer::Writer;

pub(super) const CASES: &[Case] = &[
    Case::new(
        "row_30_volumes_that_are_held_with_a_waiting_write_are_suspended_at_once",
        held,
    ),
    Case::new(
        "row_30_a_plugin_that_ends_leaves_a_volume_suspended_that_was_lost_unseen",
        ends,
    ),
];

const VOLUMES: usize = 4;
/// Many times what it takes, on a machine that is busy with other things.
const AT_ONCE: Duration = Duration::from_secs(10);
/// How long the processors are watched for the figure.
const WATCHED: Duration = Duration::from_secs(10);

/// Maps of this machine that are suspended.
pub(super) fn suspended() -> usize {
    let disks = fs::read_dir("/sys/block").expect("the disks");
    let states = disks.map(|disk| -> PathBuf { disk.expect("an entry").path() });
    let is_suspended = |disk: &PathBuf| {
        let state = fs::read_to_string(disk.join("dm/suspended"));
        state.is_ok_and(|state| state.trim() == "1")
    };
    states.filter(is_suspended).count()
}

/// The share of the processors' time that was not idle while they were watched, in per cent.
fn busy() -> f64 {
    let ticks = || {
        let stat = fs::read_to_string("/proc/stat").expect("the counters");
        let line = stat.lines().next().expect("all processors");
        let ticks = line
            .split_ascii_whitespace()
            .skip(1)
            .map(|ticks| ticks.parse::<u32>().expect("a number"));
        let ticks: Vec<u32> = ticks.collect();
        // Idle, and waiting for a disk.
        (ticks.iter().sum::<u32>(), ticks[3] + ticks[4])
    };
    let (all, idle) = ticks();
    thread::sleep(WATCHED);
    let (all_then, idle_then) = ticks();
    100.0 - 100.0 * f64::from(idle_then - idle) / f64::from(all_then - all)
}

fn held() {
    let scene = Scene::new();
    let volumes: Vec<_> = (0..VOLUMES).map(member).collect();
    let exported: Vec<_> = volumes.iter().map(|(_, exported)| exported).collect();
    let port = scene.listen(1, target(0), 4420, &exported);
    let plugin = Plugin::start();
    bring(&plugin, &volumes);
    let at_rest = busy();
    let start = |(volume, _): &(Volume, Subsystem)| Writer::start_raw(&volume.target());
    let writers: Vec<Writer> = volumes.iter().map(start).collect();
    writers.iter().for_each(|writer| writer.wait_for(20));
    for exported in &exported {
        port.withdraw(exported).expect("the subsystem goes");
    }
    gone();
    let lost = Instant::now();
    eventually("all maps to be suspended", || {
        (suspended() == VOLUMES).then_some(())
    });
    let after = lost.elapsed();
    assert!(after < AT_ONCE, "{after:?}");
    let waiting: Vec<u64> = writers.iter().map(Writer::written).collect();
    let while_held = busy();
    for (writer, waiting) in writers.iter().zip(&waiting) {
        writer.still_waits(*waiting);
    }
    assert_eq!(suspended(), VOLUMES);
    for (writer, exported) in writers.iter().zip(&exported) {
        writer.target_returns();
        scene.export(&port, exported);
    }
    writers.iter().for_each(|writer| writer.wait_for(20));
    for writer in writers {
        writer.end("row 30, one of 4");
    }
    assert_nothing_is_suspended();
    eprintln!(
        "{REPORT}row 30, {VOLUMES} volumes with a waiting write each: suspended {:.1} s after the last controller, \
         processors busy {at_rest:.0} % at rest, {while_held:.0} % while held",
        after.as_secs_f64()
    );
    take_away(&plugin, &volumes);
}

/// The threads that would suspend what is lost do not come to it, as in a loss that falls into the last moments of a
/// plugin.
fn ends() {
    let mut running = Running::start(Use::Block, &[]);
    let writer = running.writer();
    let mut keepers = Vec::new();
    for name in ["keep-", "removals"] {
        let threads = threads(&running.plugin, name);
        assert!(!threads.is_empty(), "{name}");
        keepers.extend(threads);
    }
    // What wakes them is held back for longer than anything here is waited for.
    let expressions = [
        "trace=futex,recvfrom",
        "inject=futex:delay_exit=100s",
        "inject=recvfrom:delay_enter=100s",
    ];
    let mut strace = attach(&keepers, &expressions);
    running.withdraw();
    let waiting = writer.written();
    eventually("the plugin to see the loss", || {
        (!running.is_whole()).then_some(())
    });
    assert_eq!(suspended(), 0, "nobody is there to do it");
    kill(process(&running.plugin), Signal::SIGTERM).expect("it runs");
    eventually("the map to be suspended by what ends", || {
        (suspended() == 1).then_some(())
    });
    // It would keep the dead threads until their time is over.
    strace.kill().expect("it runs");
    strace.wait().expect("it was killed");
    running.plugin.wait_ended();
    assert_eq!(suspended(), 1);
    writer.still_waits(waiting);
    running.plugin = Plugin::start();
    writer.target_returns();
    running.export();
    writer.wait_for(20);
    assert_nothing_is_suspended();
    let written = writer.end("row 30, lost as the plugin ends");
    running.end_and_verify(written);
}
