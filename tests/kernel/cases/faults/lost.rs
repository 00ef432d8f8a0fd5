//! Links that are cut and controllers that are taken away, and come back.

use super::Running;
use crate::case::{Case, Profile};
use crate::plugin::Use;
use crate::scene::{controllers, eventually, net};

pub(super) const CASES: &[Case] = &[
    Case::new("row_1_a_cut_link_costs_no_write", || {
        cut_link(Use::Filesystem("ext4"));
    }),
    Case::new("row_1_a_cut_link_costs_a_raw_block_volume_no_write", || {
        cut_link(Use::Block);
    }),
    Case::new("row_4_a_renumbered_device_costs_no_write", renumbered),
    Case::new("row_5_a_deleted_controller_costs_no_write", || {
        deleted("row 5, deleted", &[]);
    }),
    Case::new(
        "row_25_without_multipath_a_deleted_controller_costs_no_write",
        || deleted("row 5, deleted", &[]),
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
    let writer = running.writer();
    running.cut();
    writer.target_returns();
    net::set_up("v0").expect("the cable is back");
    writer.wait_for(20);
    let written = writer.end(&format!("row 1, link cut, {usage:?}"));
    running.end_and_verify(written);
}

fn renumbered() {
    let running = Running::start(Use::Filesystem("ext4"), &[("ctrlLossTmo", "2")]);
    let writer = running.writer();
    running.withdraw();
    writer.target_returns();
    running.export();
    writer.wait_for(20);
    let written = writer.end("row 4, ctrl_loss_tmo expired");
    running.end_and_verify(written);
}

pub(super) fn deleted(what: &str, parameters: &[(&str, &str)]) {
    let running = Running::start(Use::Filesystem("ext4"), parameters);
    let writer = running.writer();
    for _ in 0..3 {
        writer.wait_for(20);
        let controller = eventually("a controller", || controllers().pop());
        let delete = format!("/sys/class/nvme/{controller}/delete_controller");
        std::fs::write(delete, "1").expect("deleted");
        writer.target_returns();
    }
    writer.wait_for(20);
    let written = writer.end(what);
    running.end_and_verify(written);
}
