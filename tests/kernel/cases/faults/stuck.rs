//! A target that answers everything but I/O: its controllers stay live, and nothing is ever completed.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use kernel_lab::guest::nvmet::Subsystem;

use super::bystanders::{dmsetup, pcie};
use super::timeout::leave;
use super::{Running, volume};
use crate::case::Case;
use crate::host::REPORT;
use crate::plugin::{Use, said};
use crate::scene::{NQN, Scene, UUID, controllers, eventually, target};
use crate::writer::verify;

pub(super) const CASES: &[Case] = &[
    Case::new(
        "row_28_io_that_never_completes_fails_after_its_timeout_and_the_volume_leaves",
        let_go,
    )
    .in_real_time(),
    Case::new(
        "row_28_io_that_completes_late_fails_nothing_without_a_timeout",
        late,
    )
    .in_real_time(),
];

const TIMEOUT: Duration = Duration::from_secs(40);
/// From the last progress to the event.
const TOLD_WITHIN: Duration = Duration::from_secs(35);
/// Between the end of that time and the failure.
const FAILS_AT_LAST: Duration = Duration::from_secs(15);
/// How long the target stands still where it goes on.
const STILL: Duration = Duration::from_secs(60);
/// A look, and an emulated machine.
const ROOM: Duration = Duration::from_secs(5);

/// What stands behind the namespace, and can be stopped.
struct Disk {
    node: PathBuf,
}

impl Disk {
    fn make() -> Disk {
        let below = format!("{}n1", pcie());
        let size = fs::read_to_string(format!("/sys/block/{below}/size")).expect("its size");
        let sectors: usize = size.trim().parse().expect("a number");
        let below = format!("/dev/{below}");
        let disk = File::options().write(true).open(&below);
        let blank = disk.and_then(|mut disk| disk.write_all(&vec![0; sectors * 512]));
        blank.expect("nothing is left of another case");
        let table = format!("0 {sectors} linear {below} 0");
        let create = ["create", "--noudevsync", "--uuid", "LVM-target", "--table"];
        dmsetup(&[&create[..], &[&table, "target"]].concat());
        let disks = fs::read_dir("/sys/block").expect("the disks");
        let mut disks = disks.map(|entry| entry.expect("an entry").path());
        let is_it = |disk: &PathBuf| {
            let name = fs::read_to_string(disk.join("dm/name")).unwrap_or_default();
            name.trim() == "target"
        };
        let disk = disks.find(is_it).expect("the map");
        let node = Path::new("/dev").join(disk.file_name().expect("a name"));
        Disk { node }
    }

    /// From now on nothing that is sent to it is completed.
    fn stop(&self) {
        dmsetup(&[
            "suspend",
            "--noudevsync",
            "--noflush",
            "--nolockfs",
            "target",
        ]);
    }

    fn go_on(&self) {
        dmsetup(&["resume", "--noudevsync", "target"]);
    }
}

fn start(disk: &Disk, parameters: &[(&str, &str)]) -> Running {
    let scene = Scene::new();
    let exported = Subsystem::create(NQN).expect("a subsystem");
    let added = exported.add_namespace(1, &disk.node, UUID);
    added.expect("a namespace");
    let port = scene.listen(1, target(0), 4420, &[&exported]);
    let volume = volume(Use::Filesystem("ext4"), parameters);
    Running::on(scene, exported, port, volume).logged()
}

fn is_told() -> bool {
    said().contains("PathLost")
}

fn let_go() {
    let disk = Disk::make();
    let running = start(&disk, &[("pathLossTimeout", "40s")]);
    let writer = running.writer();
    disk.stop();
    let stopped = Instant::now();
    let told = eventually("the loss to be told", || {
        is_told().then(|| stopped.elapsed())
    });
    assert!(told < TOLD_WITHIN + ROOM, "{told:?}");
    let failure = writer.wait_for_failure();
    let after = failure.at - stopped;
    assert!(after + ROOM >= TIMEOUT, "{after:?}: {}", failure.error);
    assert!(
        after < TIMEOUT + FAILS_AT_LAST + ROOM,
        "{after:?}: {}",
        failure.error
    );
    let leaving = Instant::now();
    drop(writer);
    leave(&running);
    eprintln!(
        "{REPORT}row 28: told after {:.1} s, failed after {:.1} s ({}), gone {:.1} s later",
        told.as_secs_f64(),
        after.as_secs_f64(),
        failure.error,
        leaving.elapsed().as_secs_f64()
    );
    disk.go_on();
    remove(&running);
}

/// What another case makes anew.
fn remove(running: &Running) {
    running.exported.disable(1).expect("hidden");
    dmsetup(&["remove", "--noudevsync", "target"]);
}

fn late() {
    let disk = Disk::make();
    let running = start(&disk, &[]);
    let writer = running.writer();
    disk.stop();
    thread::sleep(STILL);
    let waiting = writer.written();
    writer.still_waits(waiting);
    assert!(is_told(), "{:?}", controllers());
    writer.target_returns();
    disk.go_on();
    writer.wait_for(20);
    let written = writer.end("row 28, late");
    verify(&running.volume.target().join("written"), written);
    leave(&running);
    remove(&running);
}
