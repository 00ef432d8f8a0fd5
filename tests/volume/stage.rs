//! NodeStageVolume.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use nvme_fabrics::{Refusal, Refused};
use nvme_sysfs::NamespaceSelector;
use nvmeof_csi::volume::paths::Reached;
use nvmeof_csi::volume::request::{AccessMode, AccessType, Capability, FilesystemType};
use nvmeof_csi::volume::{ChooseHoldError, HoldError, StageError};

use crate::machine::{Machine, map_of};
use crate::requests::{SECOND, block, ext4, ext4_with, filesystem, id, stage};
use crate::swap::{held, show_map};
use crate::unstage::forget_everything;

#[test]
fn a_blank_namespace_is_connected_formatted_and_mounted_once() {
    let made = ["format nvme0n1 ext4", "mount nvme0n1"];
    // Without device-mapper, a head that can outlive its paths is told to.
    for (suite, held) in [
        ("bookworm", None),
        ("trixie", None),
        ("sid", Some("keep nvme0n1 600")),
    ] {
        let machine = Machine::new(&format!("{suite}-one-path"));
        let volumes = machine.volumes();
        let request = stage(&machine, ext4());
        volumes.stage(&request).expect("staged");
        let effects = ["connect 4420"].into_iter().chain(held).chain(made);
        let expected: Vec<&str> = effects.collect();
        assert_eq!(machine.host.take_log(), expected, "{suite}");
        for _ in 0..10 {
            volumes.stage(&request).expect("staged already");
        }
        let log = machine.host.take_log();
        assert!(log.iter().all(|effect| effect == "connect 4420"), "{log:?}");
        assert_eq!(machine.mounts_at(&machine.staging()).len(), 1);
    }
}

#[test]
fn a_raw_block_volume_is_attached_and_nothing_else() {
    let machine = Machine::new("trixie-one-path");
    machine
        .volumes()
        .stage(&stage(&machine, block()))
        .expect("staged");
    assert_eq!(machine.host.take_log(), ["connect 4420"]);
    assert_eq!(machine.state_files(), ["record.json"]);
}

#[test]
fn another_capability_subsystem_or_path_is_refused_and_changes_nothing() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let request = stage(&machine, ext4());
    volumes.stage(&request).expect("staged");
    machine.host.take_log();
    let mut other_mode = request.clone();
    other_mode.capability = filesystem(FilesystemType::Ext4, AccessMode::SingleNodeMultiWriter);
    let mut other_fs = request.clone();
    other_fs.capability = filesystem(FilesystemType::Xfs, AccessMode::SingleNodeWriter);
    let mut other_path = request.clone();
    other_path.staging_target_path = machine.kubelet().staging("elsewhere");
    let mut other_nqn = request.clone();
    other_nqn.source.nqn = "nqn.2026-01.org.example:other".parse().expect("a name");
    for other in [other_mode, other_fs, other_path, other_nqn] {
        let error = volumes.stage(&other).expect_err("staged in another way");
        assert!(matches!(error, StageError::Incompatible { .. }), "{error}");
    }
    assert!(machine.host.take_log().is_empty());
    volumes.stage(&request).expect("still staged");
}

#[test]
fn a_failed_mount_takes_back_the_connect_and_the_record() {
    let machine = Machine::new("trixie-one-path");
    machine.host.fail("mount");
    let error = machine
        .volumes()
        .stage(&stage(&machine, ext4()))
        .expect_err("no mount");
    assert!(matches!(error, StageError::Mount(_)), "{error}");
    assert!(machine.host.connected().is_empty());
    assert!(
        machine.state_files().is_empty(),
        "{:?}",
        machine.state_files()
    );
}

#[test]
fn nothing_is_connected_for_a_volume_beside_the_stage_that_connects_it_or_takes_it_back() {
    let machine = Machine::new("trixie-one-path");
    let volumes = Arc::new(machine.volumes());
    machine.host.fail("mount");
    for effect in ["connect", "disconnect"] {
        let (told, answer) = mpsc::channel();
        let keeper = Arc::clone(&volumes);
        machine.host.meanwhile(effect, move |_| {
            // Where it were to connect, it would wait for this very effect.
            let (reached, heard) = mpsc::channel();
            thread::spawn(move || reached.send(keeper.paths().reach(&id("volume-1"), 0)));
            told.send(heard.recv_timeout(Duration::from_secs(20))).ok();
        });
        volumes
            .stage(&stage(&machine, ext4()))
            .expect_err("no mount");
        let reached = answer.recv().expect("the effect happened");
        let reached = reached.unwrap_or_else(|_| panic!("it waits during {effect}"));
        assert_eq!(reached.expect("an answer"), Reached::NotWanted, "{effect}");
        assert!(machine.host.connected().is_empty());
        assert!(machine.state_files().is_empty());
    }
}

#[test]
fn a_failure_never_cuts_a_controller_that_was_there_before() {
    let machine = Machine::new("trixie-one-path");
    let controller = "nvme0".parse().expect("a controller");
    machine.host.devices(|devices| devices.connect(controller));
    machine.host.fail("mount");
    machine
        .volumes()
        .stage(&stage(&machine, ext4()))
        .expect_err("no mount");
    assert_eq!(machine.host.connected(), [controller]);
}

#[test]
fn what_could_not_be_taken_back_stays_in_the_record() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let request = stage(&machine, ext4());
    machine.host.fail("mount");
    machine.host.fail("disconnect");
    volumes.stage(&request).expect_err("no mount");
    assert_eq!(machine.state_files(), ["record.json"]);
    machine.host.succeed("disconnect");
    volumes
        .unstage(&crate::requests::unstage(&request))
        .expect("taken away by the record");
    assert!(machine.host.connected().is_empty());
    assert!(machine.state_files().is_empty());
}

#[test]
fn something_else_at_the_staging_path_is_neither_covered_nor_unmounted() {
    let machine = Machine::new("trixie-one-path");
    machine.mount_foreign(&machine.staging(), "0:44 / PATH rw - tmpfs tmpfs rw");
    let error = machine
        .volumes()
        .stage(&stage(&machine, ext4()))
        .expect_err("occupied");
    assert!(matches!(error, StageError::Occupied { .. }), "{error}");
    assert_eq!(machine.mounts_at(&machine.staging()), ["0:44"]);
    assert!(machine.host.connected().is_empty());
}

#[test]
fn readers_get_a_filesystem_that_nobody_writes_to() {
    let readers = || filesystem(FilesystemType::Ext4, AccessMode::MultiNodeReaderOnly);
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let error = volumes
        .stage(&stage(&machine, readers()))
        .expect_err("nothing to read");
    assert!(matches!(error, StageError::Prepare(_)), "{error}");
    let writer = stage(&machine, ext4());
    volumes.stage(&writer).expect("staged");
    volumes
        .unstage(&crate::requests::unstage(&writer))
        .expect("unstaged");
    volumes
        .stage(&stage(&machine, readers()))
        .expect("a clean filesystem");
    let mounts = machine.host.mounts();
    let mount = mounts.last().expect("a mount");
    assert!(mount.has_option("noload") && mount.has_option("ro"));
}

#[test]
fn a_volume_with_the_mount_option_ro_is_staged_again_and_again() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let writer = stage(&machine, ext4());
    volumes.stage(&writer).expect("staged");
    let unstage = crate::requests::unstage(&writer);
    volumes.unstage(&unstage).expect("unstaged");
    let reader = stage(&machine, ext4_with(&["ro"]));
    volumes.stage(&reader).expect("staged");
    volumes.stage(&reader).expect("staged already");
    let mounts = machine.host.mounts();
    assert!(mounts.last().expect("a mount").has_option("ro"));
    assert_eq!(machine.mounts_at(&machine.staging()).len(), 1);
}

#[test]
fn a_raw_disk_for_readers_is_refused_where_nothing_keeps_them_from_writing() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    for mode in [
        AccessMode::SingleNodeReaderOnly,
        AccessMode::MultiNodeReaderOnly,
    ] {
        let access = AccessType::Block;
        let readers = stage(&machine, Capability { access, mode });
        let error = volumes.stage(&readers).expect_err("there are no maps");
        let needs_map = HoldError::ReadersNeedMap;
        assert!(
            matches!(&error, StageError::Hold(ChooseHoldError::Hold(it)) if *it == needs_map),
            "{error}"
        );
        assert!(machine.host.connected().is_empty());
        assert!(machine.state_files().is_empty());
    }
}

#[test]
fn another_volume_is_never_busy_because_of_this_one() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let error = volumes
        .stats(&id("volume-2"), &machine.target("pod"))
        .expect_err("unknown");
    assert_eq!(
        error.to_string(),
        "volume volume-2 is not staged on this node"
    );
}

#[test]
fn a_namespace_that_is_another_volume_already_is_refused_and_left_alone() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let first = stage(&machine, ext4());
    volumes.stage(&first).expect("staged");
    machine.host.take_log();
    let mut second = stage(&machine, ext4());
    second.volume_id = id("volume-2");
    second.staging_target_path = machine.kubelet().staging("volume-2");
    std::fs::create_dir_all(&second.staging_target_path).expect("a directory");
    let error = volumes.stage(&second).expect_err("one namespace");
    assert_eq!(
        error.to_string(),
        "nvme0n1 is volume volume-1 already: one namespace cannot be two filesystems"
    );
    let log = machine.host.take_log();
    assert!(
        log.iter().all(|call| call.starts_with("connect")),
        "{log:?}"
    );
    assert!(machine.mounts_at(&second.staging_target_path).is_empty());
    // Neither once its failed attempt is unstaged.
    volumes
        .unstage(&crate::requests::unstage(&second))
        .expect("nothing to do");
    assert!(!machine.host.connected().is_empty());
}

#[test]
fn a_repeated_call_for_another_namespace_is_another_volume() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let request = stage(&machine, ext4());
    volumes.stage(&request).expect("staged");
    let mut other = request.clone();
    other.source.which = NamespaceSelector::Uuid(SECOND.parse().expect("a uuid"));
    let error = volumes.stage(&other).expect_err("another namespace");
    assert_eq!(
        error.to_string(),
        "volume volume-1 is staged already with another namespace"
    );
    volumes.stage(&request).expect("still staged");
}

#[test]
fn a_key_that_the_target_rejects_leaves_nothing_behind() {
    let machine = Machine::new("trixie-one-path");
    let rejected = |nqn| Refused::new(Refusal::KeyRejected, nqn).into();
    machine.host.refuse(rejected);
    let error = machine
        .volumes()
        .stage(&stage(&machine, ext4()))
        .expect_err("rejected");
    assert!(matches!(error, StageError::Attach(_)), "{error}");
    assert!(machine.state_files().is_empty());
}

#[test]
fn a_namespace_below_a_map_whose_record_is_lost_is_refused_and_left_alone() {
    for capability in [ext4(), block()] {
        let machine = Machine::new("trixie-one-path");
        let volumes = machine.volumes();
        let first = stage(&machine, block());
        volumes.stage(&first).expect("staged");
        show_map(&machine, "dm-0", map_of("volume-1"), 40);
        let below = machine.root().join("sys/block/dm-0/slaves/nvme0n1");
        symlink(machine.root().join("sys/block/nvme0n1"), below).expect("a disk below");
        drop(volumes);
        let volumes = forget_everything(&machine);
        let mut second = stage(&machine, capability);
        second.volume_id = id("volume-2");
        machine.host.take_log();
        let error = volumes.stage(&second).expect_err("covered");
        assert!(matches!(error, StageError::Covered { .. }), "{error}");
        assert_eq!(machine.host.take_log(), ["connect 4420"]);
        volumes.stage(&first).expect("its own map");
    }
}

#[test]
fn a_map_that_may_hold_the_io_of_another_namespace_is_refused_and_left_alone() {
    let machine = Machine::new("trixie-one-path");
    held(&machine);
    let slave = machine.root().join("sys/block/dm-0/slaves/nvme0n1");
    fs::create_dir_all(&slave).expect("a disk below");
    fs::write(slave.join("dev"), "259:77\n").expect("a number");
    // The record of a volume whose namespace is not known any more.
    let path = machine.state_dir().join("volumes/volume-1/record.json");
    let record = fs::read(&path).expect("a record");
    let mut record: serde_json::Value = serde_json::from_slice(&record).expect("a record");
    let staged = record["phase"].take();
    record["phase"] = "attaching".into();
    fs::write(&path, record.to_string()).expect("a record");
    machine.host.take_log();
    let request = stage(&machine, block());
    let error = machine.volumes().stage(&request);
    let error = error.expect_err("of another volume, or of one that is forgotten");
    assert!(matches!(error, StageError::ForeignMap { .. }), "{error}");
    let log = machine.host.take_log();
    assert!(!log.iter().any(|call| call.starts_with("load")), "{log:?}");

    // Its own disk may be below it, and one that is gone if it was this volume's.
    fs::write(slave.join("dev"), "259:1\n").expect("a number");
    machine.volumes().stage(&request).expect("its own disk");
    fs::write(slave.join("dev"), "259:77\n").expect("a number");
    record["phase"] = staged;
    fs::write(&path, record.to_string()).expect("a record");
    machine
        .volumes()
        .stage(&request)
        .expect("a disk of its own that is gone");
}
