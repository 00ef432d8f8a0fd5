//! NodePublishVolume and NodeUnpublishVolume.

use std::fs;

use nvmeof_csi::host::Host;
use nvmeof_csi::volume::request::{AccessMode, FilesystemType, PodRef, Readonly};
use nvmeof_csi::volume::{PublishError, UnpublishError};

use crate::machine::Machine;
use crate::requests::{block, ext4, filesystem, publish, stage, target_of, unpublish, unstage};

#[test]
fn publishing_ten_times_mounts_once_and_unpublishing_removes_the_target() {
    for capability in [ext4(), block()] {
        let machine = Machine::new("trixie-one-path");
        let volumes = machine.volumes();
        let staged = stage(&machine, capability);
        volumes.stage(&staged).expect("staged");
        let target = target_of(&machine, &staged, "pod");
        let request = publish(&staged, &target);
        for _ in 0..10 {
            volumes.publish(&request).expect("published");
            assert_eq!(machine.mounts_at(&target).len(), 1);
        }
        for _ in 0..10 {
            volumes
                .unpublish(&unpublish(&request))
                .expect("unpublished");
            assert!(machine.mounts_at(&target).is_empty());
            assert!(!target.exists());
        }
    }
}

#[test]
fn publish_without_stage_is_refused() {
    let machine = Machine::new("trixie-one-path");
    let target = machine.target("pod");
    let request = publish(&stage(&machine, ext4()), &target);
    let error = machine.volumes().publish(&request).expect_err("not staged");
    assert!(matches!(error, PublishError::NotStaged { .. }), "{error}");
    assert!(machine.host.take_log().is_empty());
}

#[test]
fn something_else_at_the_target_is_no_success_and_stays() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, ext4());
    volumes.stage(&staged).expect("staged");
    let target = machine.target("pod");
    let request = publish(&staged, &target);
    machine.mount_foreign(&target, "0:44 / PATH rw - tmpfs tmpfs rw");
    let error = volumes.publish(&request).expect_err("occupied");
    assert!(matches!(error, PublishError::Occupied { .. }), "{error}");
    let error = volumes
        .unpublish(&unpublish(&request))
        .expect_err("not ours");
    assert!(matches!(error, UnpublishError::Unmount(_)), "{error}");
    assert_eq!(machine.mounts_at(&target), ["0:44"]);
}

#[test]
fn a_stack_of_mounts_of_the_volume_is_taken_away_whole() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, ext4());
    volumes.stage(&staged).expect("staged");
    let target = machine.target("pod");
    let request = publish(&staged, &target);
    volumes.publish(&request).expect("published");
    for _ in 0..3 {
        machine.mount_foreign(&target, "259:1 / PATH rw - ext4 /dev/nvme0n1 rw");
    }
    volumes
        .unpublish(&unpublish(&request))
        .expect("unpublished");
    assert!(machine.mounts_at(&target).is_empty());
}

#[test]
fn a_target_with_data_in_it_is_never_emptied() {
    let machine = Machine::new("trixie-one-path");
    let staged = stage(&machine, ext4());
    let target = machine.target("pod");
    fs::create_dir(&target).expect("a directory");
    fs::write(target.join("data"), "of a user").expect("a file");
    let request = unpublish(&publish(&staged, &target));
    let error = machine
        .volumes()
        .unpublish(&request)
        .expect_err("not empty");
    assert!(matches!(error, UnpublishError::MountPoint(_)), "{error}");
    assert_eq!(fs::read(target.join("data")).expect("data"), b"of a user");
}

#[test]
fn a_mount_that_cannot_be_unmounted_keeps_its_target_and_its_record() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, ext4());
    volumes.stage(&staged).expect("staged");
    let target = machine.target("pod");
    let request = publish(&staged, &target);
    volumes.publish(&request).expect("published");
    machine.host.fail("unmount");
    volumes.unpublish(&unpublish(&request)).expect_err("busy");
    assert!(target.exists());
    machine.host.succeed("unmount");
    volumes
        .unpublish(&unpublish(&request))
        .expect("unpublished");
}

#[test]
fn another_readonly_at_one_target_is_refused_and_at_another_allowed() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, ext4());
    volumes.stage(&staged).expect("staged");
    let request = publish(&staged, &machine.target("pod"));
    volumes.publish(&request).expect("published");
    let mut other = request.clone();
    other.readonly = Readonly::Yes;
    let error = volumes.publish(&other).expect_err("another readonly");
    assert!(
        matches!(error, PublishError::Incompatible { .. }),
        "{error}"
    );
    other.target_path = machine.target("reader");
    volumes.publish(&other).expect("a second pod");
    let mounts = machine.host.mounts();
    assert_eq!(mounts.last().expect("a mount").options, "ro");
}

#[test]
fn readers_never_get_a_writable_mount() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let writer = stage(&machine, ext4());
    volumes.stage(&writer).expect("staged");
    volumes.unstage(&unstage(&writer)).expect("unstaged");
    for mode in [
        AccessMode::SingleNodeReaderOnly,
        AccessMode::MultiNodeReaderOnly,
    ] {
        let staged = stage(&machine, filesystem(FilesystemType::Ext4, mode));
        volumes.stage(&staged).expect("staged");
        let request = publish(&staged, &machine.target("pod"));
        volumes.publish(&request).expect("published");
        let mounts = machine.host.mounts();
        assert_eq!(mounts.last().expect("a mount").options, "ro");
        volumes
            .unpublish(&unpublish(&request))
            .expect("unpublished");
        volumes.unstage(&unstage(&staged)).expect("unstaged");
    }
}

#[test]
fn a_single_writer_has_one_target() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let mode = AccessMode::SingleNodeSingleWriter;
    let staged = stage(&machine, filesystem(FilesystemType::Ext4, mode));
    volumes.stage(&staged).expect("staged");
    let mut request = publish(&staged, &machine.target("pod"));
    request.pod = Some(PodRef {
        namespace: "default".to_owned(),
        name: "writer".to_owned(),
        uid: None,
    });
    volumes.publish(&request).expect("published");
    volumes.publish(&request).expect("the same target");
    let error = volumes
        .publish(&publish(&staged, &machine.target("other")))
        .expect_err("a second target");
    assert!(
        matches!(error, PublishError::SingleWriter { .. }),
        "{error}"
    );
}

#[test]
fn a_failed_bind_leaves_neither_target_nor_publication() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, ext4());
    volumes.stage(&staged).expect("staged");
    machine.host.fail("bind");
    let request = publish(&staged, &machine.target("pod"));
    volumes.publish(&request).expect_err("no bind");
    assert!(!request.target_path.exists());
    volumes
        .unstage(&unstage(&staged))
        .expect("nothing is published");
}

#[test]
fn a_failed_bind_leaves_a_target_that_was_there_before() {
    for (capability, is_directory) in [(ext4(), true), (block(), false)] {
        let machine = Machine::new("trixie-one-path");
        let volumes = machine.volumes();
        let staged = stage(&machine, capability);
        volumes.stage(&staged).expect("staged");
        let target = target_of(&machine, &staged, "pod");
        match is_directory {
            true => fs::create_dir(&target).expect("a directory"),
            false => fs::write(&target, "").expect("a file"),
        }
        machine.host.fail("bind");
        let request = publish(&staged, &target);
        volumes.publish(&request).expect_err("no bind");
        assert!(target.exists(), "{is_directory}");
        machine.host.succeed("bind");
        volumes.publish(&request).expect("published");
    }
}

#[test]
fn a_failed_repeat_leaves_the_publication_that_was_there_before() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let mode = AccessMode::SingleNodeSingleWriter;
    let staged = stage(&machine, filesystem(FilesystemType::Ext4, mode));
    volumes.stage(&staged).expect("staged");
    let request = publish(&staged, &machine.target("pod"));
    volumes.publish(&request).expect("published");
    // Somebody unmounts it, and the pod's target stays.
    let unmounted = machine.host.unmount(&request.target_path);
    unmounted.expect("unmounted");
    machine.host.fail("bind");
    volumes.publish(&request).expect_err("no bind");
    let error = volumes
        .publish(&publish(&staged, &machine.target("other")))
        .expect_err("the first pod has it");
    assert!(
        matches!(error, PublishError::SingleWriter { .. }),
        "{error}"
    );
}

#[test]
fn a_staging_path_that_leads_elsewhere_is_not_bound() {
    for (from, to) in [
        ("40 1 259:1 /", "40 1 259:9 /"),
        ("/dev/nvme0n1 rw", "/dev/nvme0n1 rw,shutdown"),
    ] {
        let machine = Machine::new("trixie-one-path");
        let volumes = machine.volumes();
        let staged = stage(&machine, ext4());
        volumes.stage(&staged).expect("staged");
        machine.host.edit_mounts(from, to);
        machine.host.take_log();
        let error = volumes
            .publish(&publish(&staged, &machine.target("pod")))
            .expect_err(to);
        assert!(
            matches!(error, PublishError::StaleStaging { .. }),
            "{error}"
        );
        assert!(machine.host.take_log().is_empty());
    }
}

#[test]
fn a_disk_that_came_back_as_another_volume_is_not_published() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, block());
    volumes.stage(&staged).expect("staged");
    let other = "33333333-3333-4333-8333-333333333333";
    machine
        .host
        .devices(|devices| devices.set("uuid", &format!("{other}\n")));
    let error = volumes
        .publish(&publish(&staged, &target_of(&machine, &staged, "pod")))
        .expect_err("another volume");
    assert!(matches!(error, PublishError::Identity(_)), "{error}");
}

#[test]
fn a_disk_that_came_back_with_another_number_is_published() {
    for (attribute, value, dev) in [("dev", "259:7", "259:7"), ("diskseq", "777", "259:1")] {
        for capability in [ext4(), block()] {
            let machine = Machine::new("trixie-one-path");
            let volumes = machine.volumes();
            let staged = stage(&machine, capability);
            volumes.stage(&staged).expect("staged");
            machine
                .host
                .devices(|devices| devices.set(attribute, &format!("{value}\n")));
            let target = target_of(&machine, &staged, "pod");
            let request = publish(&staged, &target);
            volumes.publish(&request).expect("published");
            if staged.capability == ext4() {
                assert_eq!(machine.mounts_at(&staged.staging_target_path), [dev]);
                assert_eq!(machine.mounts_at(&target), [dev]);
            }
            machine.host.take_log();
            volumes.publish(&request).expect("it stays published");
            assert!(machine.host.take_log().is_empty());
        }
    }
}

#[test]
fn a_disk_that_came_back_with_another_number_and_is_not_reached_is_not_published() {
    for capability in [ext4(), block()] {
        let machine = Machine::new("trixie-one-path");
        let volumes = machine.volumes();
        let staged = stage(&machine, capability);
        volumes.stage(&staged).expect("staged");
        machine.host.devices(|devices| {
            devices.set("diskseq", "777\n");
            devices.set("state", "connecting\n");
        });
        machine.host.take_log();
        let error = volumes
            .publish(&publish(&staged, &target_of(&machine, &staged, "pod")))
            .expect_err("another disk");
        assert!(matches!(error, PublishError::OtherDisk { .. }), "{error}");
        assert!(machine.host.take_log().is_empty());
    }
}

#[test]
fn a_staging_path_that_shows_a_foreign_thing_is_not_mounted_anew() {
    for foreign in [
        "0:44 / PATH rw - tmpfs tmpfs rw",
        "259:9 / PATH rw - ext4 /dev/nvme5n1 rw",
    ] {
        let machine = Machine::new("trixie-one-path");
        let volumes = machine.volumes();
        let staged = stage(&machine, ext4());
        volumes.stage(&staged).expect("staged");
        machine.mount_foreign(&staged.staging_target_path, foreign);
        machine
            .host
            .devices(|devices| devices.set("diskseq", "777\n"));
        machine.host.take_log();
        volumes
            .publish(&publish(&staged, &machine.target("pod")))
            .expect_err(foreign);
        assert!(machine.host.take_log().is_empty());
    }
}
