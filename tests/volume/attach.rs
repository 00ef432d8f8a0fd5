//! From addresses to a namespace.

use std::error::Error as _;
use std::time::Duration;

use nvme_sysfs::NamespaceSelector;
use nvmeof_csi::volume::{
    AttachError, HealthReason, PublishError, StageError, Timing, Volumes, VolumesConfig,
};

use crate::machine::Machine;
use crate::requests::{block, ext4, id, source, stage, unstage};

#[test]
fn every_address_is_connected() {
    let machine = Machine::new("trixie-two-paths-ana");
    let mut request = stage(&machine, block());
    request.source = source(&[4420, 4421]);
    machine.volumes().stage(&request).expect("staged");
    assert_eq!(machine.host.take_log(), ["connect 4420", "connect 4421"]);
}

#[test]
fn one_address_is_enough_and_the_other_is_tried_again() {
    let machine = Machine::new("trixie-two-paths-ana");
    let volumes = machine.volumes();
    let mut request = stage(&machine, block());
    request.source = source(&[4420, 4421]);
    machine.host.silence("4421");
    volumes.stage(&request).expect("one path works");
    assert_eq!(machine.host.connected().len(), 1);
    let health = volumes.health(&id("volume-1")).expect("an answer");
    assert_eq!(health[0].reason, HealthReason::PathsDown);
    machine.host.answer("4421");
    volumes.stage(&request).expect("staged already");
    assert_eq!(machine.host.connected().len(), 2);
}

#[test]
fn addresses_are_dialled_beside_each_other_and_answered_in_their_order() {
    let machine = Machine::new("trixie-two-paths-ana");
    let mut request = stage(&machine, block());
    request.source = source(&[4422, 4420, 4421, 4423]);
    // None is answered before all were begun.
    machine.host.answer_together(4);
    machine.volumes().stage(&request).expect("two are enough");
    assert_eq!(machine.host.connected().len(), 2);
    let request = unstage(&request);
    machine.volumes().unstage(&request).expect("unstaged");
    let mut request = stage(&machine, block());
    request.source = source(&[4423, 4422]);
    let error = machine.volumes().stage(&request).expect_err("no answer");
    let StageError::Attach(AttachError::NoController { source, .. }) = &error else {
        panic!("{error}");
    };
    let first = source.source().expect("the dial").to_string();
    assert!(first.contains("4423"), "{first}");
}

#[test]
fn a_stage_that_fails_disconnects_whatever_it_connected() {
    let machine = Machine::new("trixie-two-paths-ana");
    let mut request = stage(&machine, ext4());
    request.source = source(&[4420, 4421]);
    machine.host.answer_together(2);
    machine.host.fail("mount");
    machine.volumes().stage(&request).expect_err("no mount");
    assert!(machine.host.connected().is_empty());
    assert!(machine.state_files().is_empty());
}

#[test]
fn a_target_that_does_not_answer_leaves_nothing_behind() {
    let machine = Machine::new("trixie-one-path");
    machine.host.silence("4420");
    let error = machine
        .volumes()
        .stage(&stage(&machine, block()))
        .expect_err("no answer");
    let StageError::Attach(AttachError::NoController { addresses, .. }) = &error else {
        panic!("{error}");
    };
    assert_eq!(*addresses, 1);
    assert!(machine.state_files().is_empty());
    assert_eq!(machine.host.take_log(), ["connect 4420"]);
}

#[test]
fn a_controller_without_namespaces_is_told_to_look_again() {
    let machine = Machine::new("trixie-one-path");
    machine.host.devices(|devices| devices.heads = false);
    let timing = Timing {
        namespace: Duration::from_secs(60),
        ..machine.config().timing
    };
    let volumes = Volumes::new(VolumesConfig {
        timing,
        ..machine.config()
    });
    volumes
        .expect("readable records")
        .stage(&stage(&machine, block()))
        .expect("the namespace appears");
    let log = machine.host.take_log();
    assert_eq!(log[..2], ["connect 4420", "rescan nvme0"]);
}

#[test]
fn a_namespace_that_never_appears_ends_at_the_deadline_and_the_controller_goes() {
    let machine = Machine::new("trixie-one-path");
    let mut request = stage(&machine, block());
    let nobody = "99999999-9999-4999-8999-999999999999";
    request.source.which = NamespaceSelector::Uuid(nobody.parse().expect("a uuid"));
    let error = machine.volumes().stage(&request).expect_err("not there");
    let StageError::Attach(AttachError::NotReady { wanted, seen, .. }) = &error else {
        panic!("{error}");
    };
    assert!(wanted.contains(nobody), "{wanted}");
    assert!(
        seen.contains("nvme0 is live") && seen.contains("nvme0n1 has"),
        "{seen}"
    );
    assert!(machine.host.connected().is_empty());
    assert!(machine.state_files().is_empty());
}

#[test]
fn a_namespace_that_has_no_queue_yet_is_waited_for() {
    let machine = Machine::new("trixie-one-path");
    machine
        .host
        .devices(|devices| devices.appear_without("queue/logical_block_size"));
    let error = machine.volumes().stage(&stage(&machine, block()));
    let error = error.expect_err("its block size would not be remembered");
    assert!(
        matches!(error, StageError::Attach(AttachError::NotReady { .. })),
        "{error}"
    );
    assert!(machine.state_files().is_empty());
}

#[test]
fn the_only_namespace_is_not_guessed_among_several() {
    let machine = Machine::new("trixie-two-namespaces");
    let mut request = stage(&machine, block());
    request.source.which = NamespaceSelector::Only;
    let error = machine.volumes().stage(&request).expect_err("two of them");
    assert!(
        matches!(error, StageError::Attach(AttachError::Ambiguous(_))),
        "{error}"
    );
}

#[test]
fn a_namespace_is_found_by_its_identity_and_not_by_the_name_of_its_disk() {
    let machine = Machine::new("trixie-two-namespaces");
    let volumes = machine.volumes();
    let request = stage(&machine, block());
    volumes.stage(&request).expect("staged");
    let target = machine.block_target("pod");
    volumes
        .publish(&crate::requests::publish(&request, &target))
        .expect("published");
    let mounts = machine.host.mounts();
    // nsid 1 with this identity is the second disk of the capture.
    assert_eq!(
        mounts.last().expect("a mount").root.to_str(),
        Some("/nvme0n2")
    );
}

#[test]
fn without_multipath_the_disk_of_a_live_controller_is_taken() {
    let machine = Machine::new("trixie-multipath-off");
    let volumes = machine.volumes();
    let mut request = stage(&machine, block());
    request.source = source(&[4420, 4421]);
    volumes.stage(&request).expect("staged");
    assert_eq!(volumes.health(&id("volume-1")).expect("an answer"), []);
}

#[test]
fn a_staged_volume_without_a_path_stays_staged_at_once() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let request = stage(&machine, block());
    volumes.stage(&request).expect("staged");
    machine
        .host
        .devices(|devices| devices.set("state", "connecting\n"));
    machine.host.silence("4420");
    volumes.stage(&request).expect("staged already");
    let error = volumes
        .publish(&crate::requests::publish(
            &request,
            &machine.block_target("pod"),
        ))
        .expect_err("its node must not be opened now");
    assert!(matches!(error, PublishError::NoDisk), "{error}");
}
