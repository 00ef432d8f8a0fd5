//! Repairs that end half-way: what they took from pods is given back by the next.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use nvmeof_csi::volume::repair::Repaired;
use nvmeof_csi::volume::request::Capability;

use crate::machine::Machine;
use crate::machine::fake_host::Death;
use crate::requests::{block, ext4, id, publish, stage, target_of, unpublish, unstage};

/// A volume that a pod has, and what makes it stale.
fn stale(capability: &Capability) -> (Machine, PathBuf) {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, capability.clone());
    volumes.stage(&staged).expect("staged");
    let target = target_of(&machine, &staged, "pod");
    volumes
        .publish(&publish(&staged, &target))
        .expect("published");
    match *capability == block() {
        true => machine
            .host
            .devices(|devices| devices.set("diskseq", "777\n")),
        false => machine
            .host
            .edit_mounts("/dev/nvme0n1 rw", "/dev/nvme0n1 rw,shutdown"),
    }
    machine.host.take_log();
    (machine, target)
}

/// Repairs with a death, then without; returns whether the program died.
fn repair(capability: &Capability, death: Death) -> bool {
    let (machine, target) = stale(capability);
    machine.host.die(Some(death));
    let volumes = machine.volumes();
    let died = catch_unwind(AssertUnwindSafe(|| volumes.repair(&id("volume-1")))).is_err();
    machine.host.die(None);
    let volumes = machine.volumes();
    volumes.repair(&id("volume-1")).expect("repaired");
    let again = volumes.repair(&id("volume-1")).expect("an answer");
    assert_eq!(again, Repaired::NotStale, "{death:?}");
    assert_eq!(machine.mounts_at(&target).len(), 1, "{death:?}");
    let staged = stage(&machine, capability.clone());
    let request = publish(&staged, &target);
    volumes.publish(&request).expect("published already");
    volumes
        .unpublish(&unpublish(&request))
        .expect("unpublished");
    volumes.unstage(&unstage(&staged)).expect("unstaged");
    died
}

#[test]
fn a_repair_that_is_killed_anywhere_takes_no_volume_from_its_pods() {
    for (capability, effects) in [(ext4(), 4), (block(), 2)] {
        for number in 1..=effects {
            assert!(repair(&capability, Death::Before(number)), "{number}");
            assert!(repair(&capability, Death::After(number)), "{number}");
        }
        assert!(!repair(&capability, Death::Before(effects + 1)));
    }
}

#[test]
fn a_repair_that_fails_gives_the_pods_their_mounts_when_it_succeeds() {
    let (machine, target) = stale(&ext4());
    machine.host.fail("mount");
    let volumes = machine.volumes();
    volumes.repair(&id("volume-1")).expect_err("no mount");
    assert!(machine.mounts_at(&target).is_empty());
    machine.host.succeed("mount");
    volumes.repair(&id("volume-1")).expect("repaired");
    assert_eq!(machine.mounts_at(&target).len(), 1);
}

#[test]
fn what_kubelet_was_taking_away_is_not_given_back() {
    let (machine, target) = stale(&ext4());
    machine
        .host
        .edit_mounts(&format!(" {} ", target.display()), " /elsewhere ");
    machine.volumes().repair(&id("volume-1")).expect("repaired");
    assert!(machine.mounts_at(&target).is_empty());
}
