//! The chapters of `cargo demo`: rows of the table, told to somebody who watches.
//!
//! Invariant: nothing is said before it was checked.

use std::fs;
use std::path::Path;

use kernel_lab::guest::{demo, nvmet};

use super::foreign::{assert_untouched, mismatch, own_file};
use super::returns::refused_again;
use super::{Running, gone};
use crate::case::Case;
use crate::plugin::Use;
use crate::scene::{OTHER_UUID, UUID};
use crate::scene::{attribute, controllers, eventually, net, subsystem, wait_state};
use crate::writer::Writer;

pub(super) const CASES: &[Case] = &[
    Case::new("demo_1_a_cut_cable_on_the_command_line", || {
        demo::run(&mut |line| {
            eprintln!("{line}");
            Ok(())
        })
        .expect("the story goes as told");
    }),
    Case::new(
        "demo_2_a_target_that_exports_late_costs_no_write",
        exports_late,
    ),
    Case::new(
        "demo_3_a_renumbered_device_costs_no_write",
        comes_back_renumbered,
    ),
    Case::new("demo_4_another_namespace_is_never_written", stands_in),
];

/// How many connects the target refuses before it exports the volume.
const REFUSALS: usize = 3;

fn step(text: &str) {
    eprintln!("{}{text}", demo::STEP);
}

fn say(text: &str) {
    eprintln!("  {text}");
}

/// A staged and published volume, and a writer on it.
fn begin(parameters: &[(&str, &str)]) -> (Running, Writer) {
    step(
        "the CSI node plugin stages and publishes an ext4 volume; a pod writes 4 KiB after 4 KiB, each with fdatasync",
    );
    let running = Running::start(Use::Filesystem("ext4"), parameters);
    let writer = running.writer();
    say(&format!(
        "the volume is {}, held by a map over {}",
        running.volume.target().display(),
        disk_below()
    ));
    tell(&writer);
    (running, writer)
}

/// Ends the writer and the volume, after a last look at every block.
fn end(running: Running, writer: Writer) {
    writer.wait_for(20);
    let figures = writer.finish();
    say(&format!("the writer, which was never restarted: {figures}"));
    running.end_and_verify(figures.written);
    say("unpublished, unstaged, and staged anew: every block that was written is there");
}

fn tell(writer: &Writer) {
    // A failed write ends the writer, and this with it.
    writer.wait_for(1);
    say(&format!("{} writes so far, 0 failed", writer.written()));
}

/// The disk to which the only map sends its I/O.
fn disk_below() -> String {
    eventually("a disk below the map", || {
        let maps = fs::read_dir("/sys/block").expect("the disks");
        let mut names = maps.map(|entry| entry.expect("an entry").path());
        let map = names.find(|path| path.join("dm").is_dir())?;
        let mut disks = fs::read_dir(map.join("slaves")).expect("the disks below");
        let disk = disks.next()?.expect("an entry");
        Some(disk.file_name().to_string_lossy().into_owned())
    })
}

fn exports_late() {
    let (running, writer) = begin(&[]);
    step("row 2: the target restarts; it listens again at once, and exports the volume late");
    // Another subsystem keeps the port listening while ours is not exported.
    let other = subsystem("nqn.2026-01.org.example:other", &[]);
    running.scene.export(&running.port, &other);
    running.withdraw();
    say("the kernel has dropped the controller");
    for refusal in 1..=REFUSALS {
        refused_again();
        say(&format!("connect {refusal} is refused, the writer waits"));
    }
    writer.target_returns();
    running.export();
    step("the volume is exported");
    tell(&writer);
    end(running, writer);
}

fn comes_back_renumbered() {
    let (running, writer) = begin(&[("pathLossHold", "dm")]);
    let before = disk_below();
    let controller = eventually("a controller", || controllers().pop());
    let limit = attribute(&controller, "ctrl_loss_tmo");
    assert_eq!(limit.as_deref(), Some("0"));
    step("row 4: the cable is pulled for longer than the controller lives");
    net::set_down("v0").expect("the cable is pulled");
    gone();
    say(&format!(
        "{controller} is given up, for a map holds the I/O; the writer waits"
    ));
    let waiting = writer.written();
    step("the cable is plugged in again");
    writer.still_waits(waiting);
    writer.target_returns();
    net::set_up("v0").expect("the cable is back");
    tell(&writer);
    let after = disk_below();
    assert_ne!(before, after);
    say(&format!(
        "the disk was {before} and is {after}; the mount was never touched"
    ));
    end(running, writer);
}

fn stands_in() {
    let (running, writer) = begin(&[("pathLossHold", "dm")]);
    step("row 10: the cable is pulled; when it is back, the same NQN leads to another namespace");
    running.cut();
    let waiting = writer.written();
    let foreign = Path::new("/tmp/foreign.img");
    nvmet::backing_file(foreign, 64 << 20).expect("a backing file");
    let exported = &running.exported;
    exported.remove_namespace(1).expect("the volume goes");
    let added = exported.add_namespace(1, foreign, OTHER_UUID);
    added.expect("the other namespace comes");
    net::set_up("v0").expect("the cable is back");
    mismatch(&running);
    let controller = eventually("a controller", || controllers().pop());
    wait_state(&controller, "live");
    say(&format!(
        "{controller} is live, and shows UUID {OTHER_UUID}"
    ));
    say(&format!("the volume is UUID {UUID}: IdentityMismatch"));
    writer.still_waits(waiting);
    say("the writer still waits");
    assert_untouched(foreign);
    say("each byte of the other namespace is what it was");
    step("the right namespace is back");
    exported.remove_namespace(1).expect("the other one goes");
    writer.target_returns();
    let added = exported.add_namespace(1, &own_file(), UUID);
    added.expect("the volume comes back");
    tell(&writer);
    assert_untouched(foreign);
    say("each byte of the other namespace is still what it was");
    end(running, writer);
}
