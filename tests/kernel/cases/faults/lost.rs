//! Links that are cut and controllers that are taken away, and come back.

use std::fs;
use std::thread;
use std::time::Duration;

use super::{Running, disks_below};
use crate::case::{Case, Profile};
use crate::disk::mountinfo_line;
use crate::plugin::{Use, said};
use crate::scene::{controllers, eventually, net};
use crate::writer::Writers;

pub(super) const CASES: &[Case] = &[
    Case::new("row_1_a_cut_link_costs_no_write", || {
        cut_link(Use::Filesystem("ext4"));
    }),
    Case::new("row_1_a_cut_link_costs_a_raw_block_volume_no_write", || {
        cut_link(Use::Block);
    }),
    Case::new(
        "row_1_a_link_that_is_cut_for_3_30_and_90_seconds_costs_no_write",
        cut_for_a_while,
    ),
    Case::new("row_4_a_renumbered_device_costs_no_write", renumbered),
    Case::new("row_5_a_deleted_controller_costs_no_write", deleted),
    Case::new(
        "row_25_without_multipath_a_deleted_controller_costs_no_write",
        deleted,
    )
    .on(Profile::MultipathOff),
    Case::new(
        "row_25_without_multipath_a_renumbered_device_costs_no_write",
        renumbered,
    )
    .on(Profile::MultipathOff),
];

fn cut_link(usage: Use) {
    let running = Running::start(usage, &[]);
    let before = disks_below(&running.volume);
    let writer = running.writers();
    running.cut();
    writer.target_returns();
    net::set_up("v0").expect("the cable is back");
    writer.wait_for(20);
    running.assert_swapped(&before);
    let written = writer.end(&format!("row 1, link cut, {usage:?}"));
    running.end_and_verify_all(&written);
}

/// With the cable pulled for so long, whatever the kernel does meanwhile. A loss of half a minute is told.
fn cut_for_a_while() {
    let running = Running::start(Use::Filesystem("ext4"), &[]).logged();
    let told = |reason: &str| said().matches(reason).count();
    let target = running.volume.target().display().to_string();
    let mounted = mountinfo_line(&target);
    let writer = running.writers();
    for seconds in [3, 30, 90] {
        net::set_down("v0").expect("the cable is pulled");
        thread::sleep(Duration::from_secs(seconds));
        if seconds == 90 {
            assert!(told("PathLost") > 0, "it is lost for more than 30 s");
        }
        let before = disks_below(&running.volume);
        writer.target_returns();
        net::set_up("v0").expect("the cable is back");
        writer.wait_for(20);
        assert_eq!(mountinfo_line(&target), mounted, "it was mounted anew");
        match seconds {
            // The kernel may not have noticed.
            3 => assert_eq!(told("PathLost"), 0, "that was short"),
            _ => running.assert_swapped(&before),
        }
    }
    eventually("the end of the loss to be told", || {
        (told("PathRestored") == told("PathLost")).then_some(())
    });
    let plugin = &running.plugin;
    assert!(plugin.metric("nvmeof_csi_reconnects_total{result=\"created\"}") >= 2);
    assert!(plugin.metric("nvmeof_csi_reconnects_total{result=\"unanswered\"}") > 0);
    assert!(plugin.metric("nvmeof_csi_recoveries_total{result=\"swapped\"}") >= 2);
    assert!(plugin.metric("nvmeof_csi_path_outage_seconds_count") >= 2);
    let written = writer.end("row 1, link cut for 3, 30 and 90 s");
    running.end_and_verify_all(&written);
}

fn renumbered() {
    let running = Running::start(Use::Filesystem("ext4"), &[("ctrlLossTmo", "2")]);
    let before = disks_below(&running.volume);
    let writer = running.writers();
    running.withdraw();
    writer.target_returns();
    running.export();
    writer.wait_for(20);
    running.assert_swapped(&before);
    let written = writer.end("row 4, ctrl_loss_tmo expired");
    running.end_and_verify_all(&written);
}

fn deleted() {
    let running = Running::start(Use::Filesystem("ext4"), &[]);
    let before = disks_below(&running.volume);
    let writer = delete_thrice(&running);
    running.assert_swapped(&before);
    let written = writer.end("row 5, deleted");
    running.end_and_verify_all(&written);
}

/// Deletes the controller three times below writers that go on.
pub(super) fn delete_thrice(running: &Running) -> Writers {
    let writer = running.writers();
    for _ in 0..3 {
        writer.wait_for(20);
        let controller = eventually("a controller", || controllers().pop());
        let delete = format!("/sys/class/nvme/{controller}/delete_controller");
        fs::write(delete, "1").expect("deleted");
        writer.target_returns();
    }
    writer.wait_for(20);
    writer
}
