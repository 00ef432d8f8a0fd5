//! A volume with two paths: they die one after the other, and return in turn.

use std::time::{Duration, Instant};

use super::{Running, disks_below, gone, volume};
use crate::case::{Case, Profile};
use crate::host::REPORT;
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
    Case::new(
        "row_15_a_volume_leaves_in_time_though_both_of_its_paths_are_silent",
        silent,
    ),
];

/// How long kubelet waits for an unstage.
const KUBELET_WAITS: Duration = Duration::from_secs(120);

const ADDRESSES: [(&str, &str); 1] = [("addresses", "10.0.0.2,10.0.1.2")];

pub(super) fn start() -> Running {
    start_as(Use::Filesystem("ext4"), &[])
}

fn start_as(usage: Use, parameters: &[(&str, &str)]) -> Running {
    let scene = Scene::new();
    scene.add_cable(1);
    let (exported, port) = scene.volume();
    scene.listen(2, target(1), 4420, &[&exported]);
    Running::on(
        scene,
        exported,
        port,
        volume(usage, &[&ADDRESSES[..], parameters].concat()),
    )
}

/// Two peers that do not answer, and controllers that have not noticed: the kernel gives each a minute.
fn silent() {
    let running = start_as(Use::Block, &[("keepAliveTmo", "300")]);
    count(2);
    for link in ["v0", "v1"] {
        net::set_down(link).expect("the cable is pulled");
    }
    let began = Instant::now();
    running
        .plugin
        .unpublish(&running.volume)
        .expect("unpublish");
    running.plugin.unstage(&running.volume).expect("unstage");
    let took = began.elapsed();
    assert_eq!(controllers(), Vec::<String>::new());
    assert!(took < KUBELET_WAITS, "{took:?}");
    eprintln!(
        "{REPORT}row 15, two silent paths: off the node in {:.1} s",
        took.as_secs_f64()
    );
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
