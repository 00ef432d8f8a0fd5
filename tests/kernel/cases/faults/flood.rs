//! Uevents that come faster than the plugin reads them: the kernel drops those that find no room.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Running, disks_below};
use crate::case::Case;
use crate::plugin::Use;
use crate::scene::eventually;

pub(super) const CASES: &[Case] = &[Case::new(
    "row_17_a_loss_of_which_no_event_could_be_heard_costs_no_write",
    overrun,
)];

/// A device that nobody asks about its events.
const NULL: &str = "/sys/devices/virtual/mem/null/uevent";
/// So many events between two looks.
const AT_ONCE: u32 = 200;
/// `NETLINK_KOBJECT_UEVENT` of include/uapi/linux/netlink.h.
const PROTOCOL: &str = "15";

fn overrun() {
    let running = Running::start(Use::Filesystem("ext4"), &[]);
    let writer = running.writer();
    let before = disks_below(&running.volume);
    let overruns = running.plugin.metric("nvmeof_csi_uevent_overruns_total");
    let removals = running
        .plugin
        .metric("nvmeof_csi_uevents_total{kind=\"remove\"}");
    let plugin = running.plugin.id();
    let process = Pid::from_raw(plugin.cast_signed());
    kill(process, Signal::SIGSTOP).expect("it runs");
    eventually("the plugin's socket to be full", || {
        for _ in 0..AT_ONCE {
            fs::write(NULL, "change").expect("an event");
        }
        (dropped(plugin) > 0).then_some(())
    });
    let lost = dropped(plugin);
    running.withdraw();
    assert!(dropped(plugin) > lost, "the plugin was told of the loss");
    running.export();
    writer.target_returns();
    kill(process, Signal::SIGCONT).expect("it is stopped");
    writer.wait_for(20);
    let after = disks_below(&running.volume);
    assert!(
        after.iter().all(|disk| !before.contains(disk)),
        "a swap: {before:?} {after:?}"
    );
    eventually("the overrun to be counted", || {
        (running.plugin.metric("nvmeof_csi_uevent_overruns_total") > overruns).then_some(())
    });
    let heard = running
        .plugin
        .metric("nvmeof_csi_uevents_total{kind=\"remove\"}");
    assert_eq!(heard, removals, "no removal was heard of");
    let written = writer.end("row 17, a flood of events");
    running.end_and_verify(written);
}

/// How many events found no room in the socket of a process: `/proc/net/netlink`, whose columns are sk, Eth, Pid, Groups,
/// Rmem, Wmem, Dump, Locks, Drops and Inode.
fn dropped(process: u32) -> u64 {
    let table = fs::read_to_string("/proc/net/netlink").expect("the sockets");
    let process = process.to_string();
    let ours = table.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let is_ours = columns.get(1..3) == Some(&[PROTOCOL, process.as_str()][..]);
        is_ours.then(|| columns.get(8)?.parse().ok()).flatten()
    });
    ours.unwrap_or_else(|| panic!("no socket of {process}:\n{table}"))
}
