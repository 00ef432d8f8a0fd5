//! Two volumes of one subsystem: neither cuts the other.

use nvmeof_csi::volume::request::StageRequest;
use nvmeof_csi::volume::{DetachError, UnstageError, Volumes};

use crate::machine::Machine;
use crate::requests::{block, ext4, stage, stage_second, unstage};

fn both(machine: &Machine) -> (Volumes, StageRequest, StageRequest) {
    let volumes = machine.volumes();
    let first = stage(machine, ext4());
    let second = stage_second(machine, block());
    volumes.stage(&first).expect("staged");
    volumes.stage(&second).expect("staged");
    machine.host.take_log();
    (volumes, first, second)
}

#[test]
fn controllers_go_with_the_last_volume_in_either_order() {
    for order in [[0, 1], [1, 0]] {
        let machine = Machine::new("trixie-two-namespaces");
        let (volumes, first, second) = both(&machine);
        let requests = [first, second];
        volumes
            .unstage(&unstage(&requests[order[0]]))
            .expect("unstaged");
        assert_eq!(machine.host.connected().len(), 1, "{order:?}");
        volumes
            .unstage(&unstage(&requests[order[1]]))
            .expect("unstaged");
        assert!(machine.host.connected().is_empty(), "{order:?}");
        assert!(machine.state_files().is_empty(), "{order:?}");
    }
}

#[test]
fn a_failed_stage_of_one_never_cuts_the_other() {
    let machine = Machine::new("trixie-two-namespaces");
    let volumes = machine.volumes();
    volumes
        .stage(&stage_second(&machine, block()))
        .expect("staged");
    machine.host.fail("mount");
    volumes
        .stage(&stage(&machine, ext4()))
        .expect_err("no mount");
    assert_eq!(machine.host.connected().len(), 1);
}

#[test]
fn a_namespace_that_somebody_else_mounted_keeps_the_controllers() {
    let machine = Machine::new("trixie-two-namespaces");
    let volumes = machine.volumes();
    let request = stage(&machine, block());
    volumes.stage(&request).expect("staged");
    // A process of the host has the other namespace mounted.
    let process = machine.root().join("proc/77");
    std::fs::create_dir_all(process.join("fd")).expect("a directory");
    std::fs::write(process.join("comm"), "backup\n").expect("a file");
    let line = "50 1 259:1 / /mnt rw - ext4 /dev/nvme0n1 rw\n";
    std::fs::write(process.join("mountinfo"), line).expect("a file");
    volumes.unstage(&unstage(&request)).expect("unstaged");
    assert_eq!(machine.host.connected().len(), 1);
    assert!(machine.state_files().is_empty());
}

#[test]
fn a_volume_that_is_still_used_is_not_detached_and_keeps_its_record() {
    let machine = Machine::new("trixie-two-namespaces");
    let volumes = machine.volumes();
    let request = stage(&machine, block());
    volumes.stage(&request).expect("staged");
    let process = machine.root().join("proc/77");
    std::fs::create_dir_all(process.join("fd")).expect("a directory");
    let line = "50 1 259:3 / /mnt rw - ext4 /dev/nvme0n2 rw\n";
    std::fs::write(process.join("mountinfo"), line).expect("a file");
    let error = volumes.unstage(&unstage(&request)).expect_err("in use");
    assert!(
        matches!(error, UnstageError::Detach(DetachError::InUse { .. })),
        "{error}"
    );
    assert_eq!(machine.host.connected().len(), 1);
    assert_eq!(machine.state_files(), ["record.json"]);
}

#[test]
fn a_controller_that_somebody_else_connected_stays() {
    let machine = Machine::new("trixie-one-path");
    let controller = "nvme0".parse().expect("a controller");
    machine.host.devices(|devices| devices.connect(controller));
    let volumes = machine.volumes();
    let request = stage(&machine, block());
    volumes.stage(&request).expect("adopted");
    volumes.unstage(&unstage(&request)).expect("unstaged");
    assert_eq!(machine.host.connected(), [controller]);
    assert!(machine.state_files().is_empty());
}

#[test]
fn a_disconnect_that_fails_is_an_error_and_is_tried_again() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let request = stage(&machine, ext4());
    volumes.stage(&request).expect("staged");
    machine.host.fail("disconnect");
    let error = volumes
        .unstage(&unstage(&request))
        .expect_err("still there");
    assert!(
        matches!(error, UnstageError::Detach(DetachError::Disconnect { .. })),
        "{error}"
    );
    assert_eq!(machine.state_files(), ["record.json"]);
    machine.host.succeed("disconnect");
    volumes.unstage(&unstage(&request)).expect("unstaged");
    assert!(machine.state_files().is_empty());
}
