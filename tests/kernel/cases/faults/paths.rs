//! A volume with two paths: they die one after the other, and return in turn.

use super::{Running, disks_below, gone, volume};
use crate::case::{Case, Profile};
use crate::plugin::Use;
use crate::scene::{Scene, controllers, eventually, net, target};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "row_6_two_paths_that_die_and_return_in_turn_cost_no_write",
        || in_turn(1),
    ),
    Case::new(
        "row_25_without_multipath_two_paths_that_die_and_return_in_turn_cost_no_write",
        || in_turn(2),
    )
    .on(Profile::MultipathOff),
];

pub(super) fn start() -> Running {
    let scene = Scene::new();
    scene.add_cable(1);
    let (exported, port) = scene.volume();
    scene.listen(2, target(1), 4420, &[&exported]);
    let addresses = [("addresses", "10.0.0.2,10.0.1.2")];
    let volume = volume(Use::Filesystem("ext4"), &addresses);
    Running::on(scene, exported, port, volume)
}

/// Waits until so many controllers are there.
fn count(wanted: usize) {
    eventually(&format!("{wanted} controllers"), || {
        (controllers().len() == wanted).then_some(())
    });
}

/// Waits until so many disks lie below the map.
fn below(running: &Running, wanted: usize) -> Vec<String> {
    eventually(&format!("{wanted} disks below the map"), || {
        Some(disks_below(&running.volume)).filter(|disks| disks.len() == wanted)
    })
}

/// Both paths lead to `disks` disks: to the one head, or each to a disk of its own.
fn in_turn(disks: usize) {
    let running = start();
    count(2);
    let before = below(&running, disks);
    let writer = running.writers();
    net::set_down("v0").expect("the first cable is pulled");
    count(1);
    writer.wait_for(20);
    net::set_down("v1").expect("the second cable is pulled");
    gone();
    let waiting = writer.written();
    assert!(!running.is_whole());
    writer.still_waits(waiting);
    net::set_up("v0").expect("the first cable is back");
    writer.wait_for(20);
    assert_eq!(controllers().len(), 1, "the second path is still dead");
    running.assert_swapped(&before);
    net::set_up("v1").expect("the second cable is back");
    eventually("both paths", || running.is_whole().then_some(()));
    count(2);
    below(&running, disks);
    writer.wait_for(20);
    let written = writer.end("row 6, two paths in turn");
    running.end_and_verify_all(&written);
}
