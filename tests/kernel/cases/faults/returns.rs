//! Targets that restart, and are not ready at once.

use std::thread;
use std::time::Duration;

use super::{Running, disks_below, gone};
use crate::case::{Case, Profile};
use crate::plugin::Use;
use crate::scene::{HOSTNQN, controllers, eventually, kernel_log, subsystem};

pub(super) const CASES: &[Case] = &[
    Case::new("row_2_a_target_that_exports_late_costs_no_write", || {
        exports_late(Use::Filesystem("ext4"));
    }),
    Case::new(
        "row_2_a_target_that_exports_late_costs_a_raw_block_volume_no_write",
        || exports_late(Use::Block),
    ),
    Case::new(
        "row_25_without_multipath_a_target_that_exports_late_costs_no_write",
        || exports_late(Use::Filesystem("ext4")),
    )
    .on(Profile::MultipathOff),
    Case::new(
        "row_3_a_target_that_admits_the_host_late_costs_no_write",
        admits_late,
    ),
    Case::new(
        "row_3_a_target_that_shows_the_namespace_late_costs_no_write",
        shows_late,
    ),
    Case::new(
        "row_13_a_loss_that_ends_while_the_plugin_is_down_costs_no_write",
        plugin_down,
    ),
    Case::new(
        "row_18_a_namespace_that_goes_and_comes_costs_no_write",
        disabled,
    ),
];
const OTHER_HOST: &str = "nqn.2014-08.org.nvmexpress:uuid:bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";

/// How many connects the target has refused since the machine started.
pub(super) fn refusals() -> usize {
    let log = kernel_log().expect("the kernel's log");
    let refused = |line: &&String| line.contains("Connect ") || line.contains("connect request");
    log.iter().filter(refused).count()
}

/// Waits until the target has refused one more connect.
pub(super) fn refused_again() {
    let before = refusals();
    eventually("a refused connect", || (refusals() > before).then_some(()));
}

/// The target lets go of everybody, and from then on listens and admits nobody: another subsystem keeps the
/// port listening.
pub(super) fn withdraw_and_listen(running: &Running) {
    let other = subsystem("nqn.2026-01.org.example:other", &[]);
    running.scene.export(&running.port, &other);
    running.withdraw();
    refused_again();
}

/// For how long a target lacks something.
pub(super) fn wait_late() {
    thread::sleep(Duration::from_secs(10));
}

fn exports_late(usage: Use) {
    let running = Running::start(usage, &[]);
    let before = disks_below(&running.volume);
    let writer = running.writers();
    withdraw_and_listen(&running);
    wait_late();
    writer.target_returns();
    running.export();
    writer.wait_for(20);
    running.assert_swapped(&before);
    let written = writer.end(&format!("row 2, exports late, {usage:?}"));
    running.end_and_verify_all(&written);
}

fn admits_late() {
    let running = Running::start(Use::Filesystem("ext4"), &[]);
    let before = disks_below(&running.volume);
    let writer = running.writers();
    let other = subsystem("nqn.2026-01.org.example:other", &[]);
    running.scene.export(&running.port, &other);
    let withdrawn = running.port.withdraw(&running.exported);
    withdrawn.expect("the subsystem goes");
    let closed = running.exported.allow_only(OTHER_HOST);
    closed.expect("only another host is admitted");
    gone();
    running.export();
    refused_again();
    wait_late();
    writer.target_returns();
    running.exported.allow(HOSTNQN).expect("admitted");
    writer.wait_for(20);
    running.assert_swapped(&before);
    let written = writer.end("row 3, admits late");
    running.end_and_verify_all(&written);
}

fn shows_late() {
    let running = Running::start(Use::Filesystem("ext4"), &[]);
    let before = disks_below(&running.volume);
    let writer = running.writers();
    running.withdraw();
    running.exported.disable(1).expect("hidden");
    running.export();
    let controller = eventually("a controller", || controllers().pop());
    crate::scene::wait_state(&controller, "live");
    wait_late();
    writer.target_returns();
    running.exported.enable(1).expect("shown");
    writer.wait_for(20);
    running.assert_swapped(&before);
    let written = writer.end("row 3, shows the namespace late");
    running.end_and_verify_all(&written);
}

fn disabled() {
    let running = Running::start(Use::Filesystem("ext4"), &[]);
    let (before, connected) = (disks_below(&running.volume), controllers());
    let writer = running.writer();
    running.exported.disable(1).expect("hidden");
    eventually("the loss to be seen", || {
        (!running.is_whole()).then_some(())
    });
    let waiting = writer.written();
    assert_eq!(controllers(), connected, "an orphan");
    eventually("it to be told to look for namespaces", || {
        let told = "nvmeof_csi_orphans_total{action=\"rescanned\"}";
        (running.plugin.metric(told) > 0).then_some(())
    });
    writer.still_waits(waiting);
    writer.target_returns();
    running.exported.enable(1).expect("shown");
    writer.wait_for(20);
    running.assert_swapped(&before);
    assert_eq!(controllers(), connected, "it serves again");
    let written = writer.end("row 18, namespace disabled");
    running.end_and_verify(written);
}

fn plugin_down() {
    let mut running = Running::start(Use::Filesystem("ext4"), &[]);
    let before = disks_below(&running.volume);
    let writer = running.writer();
    running.plugin.kill();
    let withdrawn = running.port.withdraw(&running.exported);
    withdrawn.expect("the subsystem goes");
    gone();
    let waiting = writer.written();
    running.scene.export(&running.port, &running.exported);
    // The plugin's own return is what ends the outage.
    writer.still_waits(waiting);
    writer.target_returns();
    running.plugin = crate::plugin::Plugin::start();
    writer.wait_for(20);
    running.assert_swapped(&before);
    let written = writer.end("row 13, plugin down");
    running.end_and_verify(written);
}
