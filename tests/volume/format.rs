//! The format rule: what is on a device decides, and what is there stays as it is.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use nvmeof_csi::volume::StageError;
use nvmeof_csi::volume::request::{AccessMode, FilesystemType, MultiMount, StageRequest};

use crate::machine::Machine;
use crate::machine::filesystems::{
    State, ext4 as ext4_superblock, halve, make, protect, scribble, wipe, xfs,
};
use crate::requests::{FIRST, ext4, ext4_with, filesystem, stage, unstage};

const SIZE: u64 = 64 << 20;

/// A machine whose target holds an image that is made beforehand.
fn machine() -> (Machine, PathBuf) {
    let machine = Machine::new("trixie-one-path");
    let image = machine.root().join("target").join(format!("{FIRST}.img"));
    let file = fs::File::create(&image).expect("an image");
    file.set_len(SIZE).expect("a size");
    (machine, image)
}

fn xfs_volume(machine: &Machine) -> StageRequest {
    let capability = filesystem(FilesystemType::Xfs, AccessMode::SingleNodeWriter);
    stage(machine, capability)
}

#[test]
fn foreign_data_is_refused_and_byte_identical_afterwards() {
    let contents: [(u64, &[u8]); 5] = [
        (0, b"LUKS\xba\xbe"),
        (512, b"LABELONE"),
        (4086, b"SWAPSPACE2"),
        (510, &[0x55, 0xAA]),
        (1_000_000, b"bytes of nobody knows whom"),
    ];
    for (offset, bytes) in contents {
        let (machine, image) = machine();
        scribble(&image, offset, bytes);
        let before = fs::read(&image).expect("an image");
        let error = machine
            .volumes()
            .stage(&stage(&machine, ext4()))
            .expect_err("foreign data");
        assert!(matches!(error, StageError::Prepare(_)), "{offset}: {error}");
        assert!(before == fs::read(&image).expect("an image"), "{offset}");
        assert_eq!(
            machine.host.take_log(),
            ["connect 4420", "disconnect nvme0"]
        );
    }
}

#[test]
fn the_other_filesystem_is_foreign_too() {
    let (machine, image) = machine();
    make(&image, FilesystemType::Xfs);
    let error = machine
        .volumes()
        .stage(&stage(&machine, ext4()))
        .expect_err("xfs is not ext4");
    assert!(matches!(error, StageError::Prepare(_)), "{error}");
}

#[test]
fn a_filesystem_that_is_there_is_mounted_as_it_is() {
    for fs in [FilesystemType::Ext4, FilesystemType::Xfs] {
        let (machine, image) = machine();
        make(&image, fs);
        let capability = filesystem(fs, AccessMode::SingleNodeWriter);
        machine
            .volumes()
            .stage(&stage(&machine, capability))
            .expect("staged");
        assert_eq!(machine.host.take_log(), ["connect 4420", "mount nvme0n1"]);
    }
}

#[test]
fn ext4_is_checked_where_it_asks_for_it() {
    let (machine, image) = machine();
    ext4_superblock(&image, State::NeedsRecovery);
    machine
        .volumes()
        .stage(&stage(&machine, ext4()))
        .expect("staged");
    let expected = ["connect 4420", "check nvme0n1", "mount nvme0n1"];
    assert_eq!(machine.host.take_log(), expected);
}

#[test]
fn a_protected_ext4_is_checked_for_errors_only_because_a_killed_check_keeps_everybody_out() {
    let (machine, image) = machine();
    ext4_superblock(&image, State::NeedsRecovery);
    protect(&image);
    let volumes = machine.volumes();
    let request = stage(&machine, ext4());
    volumes.stage(&request).expect("staged");
    assert_eq!(machine.host.take_log(), ["connect 4420", "mount nvme0n1"]);
    volumes.unstage(&unstage(&request)).expect("unstaged");
    // An error was counted.
    scribble(&image, 1024 + 0x194, &[1]);
    machine.host.take_log();
    volumes.stage(&request).expect("staged");
    let expected = ["connect 4420", "check nvme0n1", "mount nvme0n1"];
    assert_eq!(machine.host.take_log(), expected);
}

#[test]
fn a_filesystem_without_the_protection_that_is_wanted_is_refused_and_left_as_it_is() {
    let (machine, image) = machine();
    make(&image, FilesystemType::Ext4);
    let before = fs::read(&image).expect("an image");
    let mut request = stage(&machine, ext4());
    request.multi_mount = MultiMount::Protected;
    let volumes = machine.volumes();
    let error = volumes.stage(&request).expect_err("it has none");
    let cause = error.source().expect("a cause").to_string();
    assert!(cause.contains("tune2fs -O mmp"), "{cause}");
    assert!(before == fs::read(&image).expect("an image"));
    machine.host.take_log();
    protect(&image);
    volumes.stage(&request).expect("it has it now");
    assert_eq!(machine.host.take_log(), ["connect 4420", "mount nvme0n1"]);
}

#[test]
fn readers_need_no_protection_from_each_other() {
    let (machine, image) = machine();
    make(&image, FilesystemType::Ext4);
    let readers = filesystem(FilesystemType::Ext4, AccessMode::MultiNodeReaderOnly);
    let mut request = stage(&machine, readers);
    request.multi_mount = MultiMount::Protected;
    machine.volumes().stage(&request).expect("nobody writes");
}

#[test]
fn the_mount_option_ro_does_not_lift_the_protection() {
    type Prepare = fn(&Path);
    let rows: [(&str, Prepare); 2] = [
        ("needs recovery", |image| {
            ext4_superblock(image, State::NeedsRecovery)
        }),
        ("tune2fs -O mmp", |image| {
            make(image, FilesystemType::Ext4);
            // An error was counted, so that a check would write.
            scribble(image, 1024 + 0x194, &[1]);
        }),
    ];
    for (words, prepare) in rows {
        let (machine, image) = machine();
        prepare(&image);
        let before = fs::read(&image).expect("an image");
        let mut request = stage(&machine, ext4_with(&["ro"]));
        request.multi_mount = MultiMount::Protected;
        let error = machine
            .volumes()
            .stage(&request)
            .expect_err("another machine may have it");
        let cause = error.source().expect("a cause").to_string();
        assert!(cause.contains(words), "{cause}");
        assert!(before == fs::read(&image).expect("an image"));
    }
}

#[test]
fn a_check_that_fails_ends_the_call_and_formats_nothing() {
    let (machine, image) = machine();
    ext4_superblock(&image, State::NeedsRecovery);
    machine.host.fail("check");
    let error = machine
        .volumes()
        .stage(&stage(&machine, ext4()))
        .expect_err("errors in it");
    assert!(matches!(error, StageError::Check(_)), "{error}");
    let expected = ["connect 4420", "check nvme0n1", "disconnect nvme0"];
    assert_eq!(machine.host.take_log(), expected);
}

#[test]
fn a_journal_that_needs_recovery_is_not_for_readers() {
    let (machine, image) = machine();
    ext4_superblock(&image, State::NeedsRecovery);
    let readers = filesystem(FilesystemType::Ext4, AccessMode::MultiNodeReaderOnly);
    let error = machine
        .volumes()
        .stage(&stage(&machine, readers))
        .expect_err("nobody may replay it");
    assert!(matches!(error, StageError::Prepare(_)), "{error}");
    assert_eq!(
        machine.host.take_log(),
        ["connect 4420", "disconnect nvme0"]
    );
}

#[test]
fn an_interrupted_format_is_made_again_also_after_unstage_and_a_reboot() {
    let (machine, _) = machine();
    let request = stage(&machine, ext4());
    machine.host.fail("format");
    machine.volumes().stage(&request).expect_err("no mkfs");
    assert!(machine.host.connected().is_empty());
    machine
        .volumes()
        .unstage(&unstage(&request))
        .expect("unstaged");
    machine.boot("cccccccc-cccc-4ccc-8ccc-cccccccccccc");
    machine.host.succeed("format");
    machine.host.take_log();
    machine.volumes().stage(&request).expect("formatted again");
    let expected = ["connect 4420", "format nvme0n1 ext4", "mount nvme0n1"];
    assert_eq!(machine.host.take_log(), expected);
    machine
        .volumes()
        .unstage(&unstage(&request))
        .expect("unstaged");
    assert!(machine.state_files().is_empty());
}

#[test]
fn remains_of_a_format_count_only_with_the_record_of_it() {
    let (machine, image) = machine();
    xfs(&image, 1);
    let error = machine
        .volumes()
        .stage(&xfs_volume(&machine))
        .expect_err("who began it is unknown");
    assert!(matches!(error, StageError::Prepare(_)), "{error}");
}

#[test]
fn remains_on_another_namespace_or_of_another_size_are_foreign() {
    for (attribute, value) in [
        ("uuid", "33333333-3333-4333-8333-333333333333\n"),
        ("size", "131064\n"),
    ] {
        let (machine, image) = machine();
        let mut request = xfs_volume(&machine);
        request.source.which = nvme_sysfs::NamespaceSelector::Only;
        machine.host.fail("format");
        machine.volumes().stage(&request).expect_err("no mkfs");
        machine.host.succeed("format");
        let old = match attribute {
            "uuid" => format!("{FIRST}\n"),
            _ => "131072\n".to_owned(),
        };
        machine.host.devices(|devices| {
            devices.retarget("trixie-one-path", |text| text.replace(&old, value));
        });
        let other = image.with_file_name("33333333-3333-4333-8333-333333333333.img");
        fs::copy(&image, &other).expect("a copy");
        machine.host.take_log();
        let error = machine.volumes().stage(&request).expect_err(attribute);
        assert!(
            matches!(error, StageError::Prepare(_)),
            "{attribute}: {error}"
        );
    }
}

#[test]
fn what_another_node_finished_is_used_although_we_began_it() {
    let (machine, image) = machine();
    let request = stage(&machine, ext4());
    machine.host.fail("format");
    machine.volumes().stage(&request).expect_err("no mkfs");
    machine.host.succeed("format");
    wipe(&image);
    make(&image, FilesystemType::Ext4);
    machine.host.take_log();
    machine.volumes().stage(&request).expect("staged");
    let expected = ["connect 4420", "check nvme0n1", "mount nvme0n1"];
    assert_eq!(machine.host.take_log(), expected);
}

#[test]
fn a_device_that_was_mounted_here_and_is_blank_now_is_not_formatted() {
    let (machine, image) = machine();
    let volumes = machine.volumes();
    let request = stage(&machine, ext4());
    volumes.stage(&request).expect("staged");
    machine.host.edit_mounts(
        &format!(" {} ", machine.staging().display()),
        " /elsewhere ",
    );
    wipe(&image);
    machine.host.take_log();
    let error = volumes.stage(&request).expect_err("it held a filesystem");
    assert!(matches!(error, StageError::Prepare(_)), "{error}");
    assert_eq!(machine.host.take_log(), ["connect 4420"]);
}

#[test]
fn a_device_that_cannot_be_read_is_not_formatted() {
    let (machine, image) = machine();
    fs::File::create(&image).expect("an image of no bytes");
    machine.host.devices(|devices| {
        devices.connect("nvme0".parse().expect("a controller"));
    });
    fs::remove_file(&image).expect("gone between the scan and the probe");
    machine.host.take_log();
    let error = machine
        .volumes()
        .stage(&stage(&machine, ext4()))
        .expect_err("no device");
    assert!(matches!(error, StageError::Inspect(_)), "{error}");
    assert_eq!(machine.host.take_log(), ["connect 4420"]);
}

#[test]
fn a_filesystem_that_is_smaller_than_its_device_is_grown_when_it_is_staged() {
    let rows = [
        (ext4(), &["mount nvme0n1", "grow stage"][..]),
        (ext4_with(&["ro"]), &["mount nvme0n1"]),
    ];
    for (capability, wanted) in rows {
        let (machine, image) = machine();
        ext4_superblock(&image, State::Clean);
        halve(&image);
        let request = stage(&machine, capability);
        machine.volumes().stage(&request).expect("staged");
        let log = machine.host.take_log();
        assert_eq!(log[1..], *wanted, "{log:?}");
    }
}

#[test]
fn one_that_cannot_be_grown_is_staged_as_it_is() {
    let (machine, image) = machine();
    ext4_superblock(&image, State::Clean);
    halve(&image);
    machine.host.fail("grow");
    let request = stage(&machine, ext4());
    machine.volumes().stage(&request).expect("staged");
    assert_eq!(machine.mounts_at(&machine.staging()).len(), 1);
}
