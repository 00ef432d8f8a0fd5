//! NodeGetVolumeHealth and NodeGetStorageHealth.

use nvmeof_csi::volume::repair::Repaired;
use nvmeof_csi::volume::{HealthReason, HealthStatus, StorageStatus, Volumes};

use crate::machine::Machine;
use crate::requests::{block, ext4, give, id, publish, source, stage, stage_second};

fn reasons(volumes: &Volumes) -> Vec<(HealthStatus, HealthReason)> {
    let entries = volumes.health(&id("volume-1")).expect("an answer");
    let pairs = entries.iter().map(|entry| (entry.status, entry.reason));
    pairs.collect()
}

#[test]
fn a_healthy_and_an_unknown_volume_have_nothing_to_tell() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    assert_eq!(reasons(&volumes), []);
    volumes.stage(&stage(&machine, ext4())).expect("staged");
    assert_eq!(reasons(&volumes), []);
    assert_eq!(volumes.storage_health().expect("an answer"), []);
}

#[test]
fn a_controller_that_reconnects_is_no_path() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    volumes.stage(&stage(&machine, ext4())).expect("staged");
    machine
        .host
        .devices(|devices| devices.set("state", "connecting\n"));
    assert_eq!(
        reasons(&volumes),
        [(HealthStatus::Inaccessible, HealthReason::NoPath)]
    );
    let storage = volumes.storage_health().expect("an answer");
    assert_eq!(storage[0].status, StorageStatus::Unreachable);
    assert!(
        storage[0].message.contains("nvme0 is connecting"),
        "{storage:?}"
    );
}

#[test]
fn an_inaccessible_path_is_down() {
    let machine = Machine::new("trixie-two-paths-ana");
    let volumes = machine.volumes();
    let mut request = stage(&machine, block());
    request.source = source(&[4420, 4421]);
    volumes.stage(&request).expect("staged");
    assert_eq!(
        reasons(&volumes),
        [(HealthStatus::Degraded, HealthReason::PathsDown)]
    );
    let storage = volumes.storage_health().expect("an answer");
    assert_eq!(storage[0].status, StorageStatus::Degraded);
}

#[test]
fn a_subsystem_of_two_volumes_is_told_once() {
    let machine = Machine::new("trixie-two-namespaces");
    let volumes = machine.volumes();
    volumes.stage(&stage(&machine, ext4())).expect("staged");
    volumes
        .stage(&stage_second(&machine, block()))
        .expect("staged");
    machine.host.power_off();
    assert_eq!(volumes.storage_health().expect("an answer").len(), 1);
}

#[test]
fn mounts_that_lead_nowhere_are_stale() {
    for (from, to) in [
        ("40 1 259:1 /", "40 1 259:9 /"),
        ("/dev/nvme0n1 rw", "/dev/nvme0n1 rw,shutdown"),
        ("/globalmount ", "/elsewhere "),
    ] {
        let machine = Machine::new("trixie-one-path");
        let volumes = machine.volumes();
        volumes.stage(&stage(&machine, ext4())).expect("staged");
        machine.host.edit_mounts(from, to);
        let stale = (HealthStatus::Inaccessible, HealthReason::StaleMount);
        assert_eq!(reasons(&volumes), [stale], "{to}");
    }
}

#[test]
fn what_others_mounted_in_the_place_of_a_volume_is_foreign() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, ext4());
    let target = give(&machine, &volumes, &staged);
    for place in [target, machine.staging()] {
        machine.mount_foreign(&place, "8:1 / PATH rw - ext4 /dev/sda1 rw");
        let foreign = (HealthStatus::Inaccessible, HealthReason::ForeignMount);
        assert_eq!(reasons(&volumes), [foreign], "{place:?}");
    }
}

#[test]
fn a_target_that_others_unmounted_is_stale_and_one_that_is_gone_was_unpublished() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, ext4());
    let target = give(&machine, &volumes, &staged);
    let place = format!(" {} ", target.display());
    machine.host.edit_mounts(&place, " /elsewhere ");
    assert_eq!(
        reasons(&volumes),
        [(HealthStatus::Inaccessible, HealthReason::StaleMount)]
    );
    assert_eq!(
        volumes.repair(&id("volume-1")).expect("an answer"),
        Repaired::NotStale
    );
    std::fs::remove_dir(&target).expect("an empty directory");
    assert_eq!(reasons(&volumes), []);
}

#[test]
fn a_mount_whose_device_is_gone_is_stale_beside_the_loss() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    volumes.stage(&stage(&machine, ext4())).expect("staged");
    machine.host.power_off();
    let inaccessible = |reason| (HealthStatus::Inaccessible, reason);
    assert_eq!(
        reasons(&volumes),
        [HealthReason::NoPath, HealthReason::StaleMount].map(inaccessible)
    );
}

#[test]
fn a_publication_whose_node_is_gone_is_stale() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, block());
    volumes.stage(&staged).expect("staged");
    volumes
        .publish(&publish(&staged, &machine.block_target("pod")))
        .expect("published");
    machine
        .host
        .edit_mounts("0:6 /nvme0n1 ", "0:6 /nvme0n1//deleted ");
    assert_eq!(
        reasons(&volumes),
        [(HealthStatus::Inaccessible, HealthReason::StaleMount)]
    );
}

#[test]
fn a_disk_number_that_now_belongs_to_a_new_disk_is_stale() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, block());
    volumes.stage(&staged).expect("staged");
    volumes
        .publish(&publish(&staged, &machine.block_target("pod")))
        .expect("published");
    machine
        .host
        .devices(|devices| devices.set("diskseq", "777\n"));
    assert_eq!(
        reasons(&volumes),
        [(HealthStatus::Inaccessible, HealthReason::StaleMount)]
    );
}

#[test]
fn another_namespace_behind_the_name_is_told_as_that() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    volumes.stage(&stage(&machine, block())).expect("staged");
    let other = "33333333-3333-4333-8333-333333333333\n";
    machine.host.devices(|devices| devices.set("uuid", other));
    assert_eq!(
        reasons(&volumes),
        [(HealthStatus::Inaccessible, HealthReason::IdentityMismatch)]
    );
}

#[test]
fn a_disk_that_has_no_size_yet_is_not_told_as_another_volume() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    volumes.stage(&stage(&machine, block())).expect("staged");
    machine.host.devices(|devices| devices.set("size", "0\n"));
    assert_eq!(
        reasons(&volumes),
        [(HealthStatus::Inaccessible, HealthReason::NoPath)]
    );
}

#[test]
fn a_disk_that_has_no_queue_yet_is_not_taken_for_the_volume() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    volumes.stage(&stage(&machine, block())).expect("staged");
    machine
        .host
        .devices(|devices| devices.take("queue/logical_block_size"));
    assert_eq!(
        reasons(&volumes),
        [(HealthStatus::Inaccessible, HealthReason::NoPath)]
    );
}

#[test]
fn what_cannot_be_read_is_an_error_and_not_health() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    volumes.stage(&stage(&machine, block())).expect("staged");
    std::fs::remove_file(machine.root().join("proc/self/mountinfo")).expect("a file");
    assert!(volumes.health(&id("volume-1")).is_err());
}
