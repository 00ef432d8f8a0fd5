//! Heads that outlive their controllers, and hold the I/O themselves, where the kernel can do that.

use std::fs;
use std::path::Path;

use super::Running;
use super::lost::delete_thrice;
use super::returns::{wait_late, withdraw_and_listen};
use super::timeout::let_go;
use crate::case::{Case, Word};
use crate::plugin::Use;

pub(super) const CASES: &[Case] = &[
    Case::new(
        "row_2_with_the_native_hold_a_target_that_exports_late_costs_no_write",
        exports_late,
    )
    .asks(OUTLIVES),
    Case::new(
        "row_5_with_the_native_hold_a_deleted_controller_costs_no_write",
        deleted,
    )
    .asks(OUTLIVES),
    Case::new(
        "row_14_with_the_native_hold_io_fails_after_its_timeout_and_not_before",
        || let_go("native hold", &[NATIVE], withdraw_and_listen),
    )
    .asks(OUTLIVES),
];

/// Heads of the kernel can outlive their last path.
const OUTLIVES: Word = Word {
    module: "nvme-core",
    word: "delayed_removal_secs",
};
const NATIVE: (&str, &str) = ("pathLossHold", "native");
/// How long a head outlives its last path where its volume may wait for ever, in seconds.
const LIMIT: &str = "600";

/// The head that holds the I/O, by the number that no other disk of this boot has.
fn head() -> String {
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let disks = fs::read_dir("/sys/block").expect("the disks");
    let disks = disks.map(|entry| entry.expect("an entry").path());
    let kept = disks.filter(|disk| read(&disk.join("delayed_removal_secs")).trim() == LIMIT);
    let numbers: Vec<String> = kept.map(|disk| read(&disk.join("diskseq"))).collect();
    assert_eq!(numbers.len(), 1, "one head is kept: {numbers:?}");
    numbers[0].trim().to_owned()
}

fn exports_late() {
    let running = Running::start(Use::Filesystem("ext4"), &[NATIVE]);
    let before = head();
    let writer = running.writers();
    withdraw_and_listen(&running);
    let waiting = writer.written();
    assert!(!running.is_whole());
    assert_eq!(head(), before, "it outlives its controller");
    wait_late();
    writer.still_waits(waiting);
    writer.target_returns();
    running.export();
    writer.wait_for(20);
    assert_eq!(head(), before, "nothing was swapped");
    let written = writer.end("row 2, exports late, native hold");
    running.end_and_verify_all(&written);
}

fn deleted() {
    let running = Running::start(Use::Filesystem("ext4"), &[NATIVE]);
    let before = head();
    let writer = delete_thrice(&running);
    assert_eq!(head(), before, "it has outlived its controllers");
    let written = writer.end("row 5, deleted, native hold");
    running.end_and_verify_all(&written);
}
