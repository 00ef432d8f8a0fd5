//! The program dies before or after each effect of an operation; a new one repeats the call and
//! succeeds, and nothing is left over in the end.

use std::panic::{AssertUnwindSafe, catch_unwind};

use nvmeof_csi::volume::Volumes;
use nvmeof_csi::volume::request::Capability;

use crate::machine::Machine;
use crate::machine::fake_host::Death;
use crate::requests::{block, ext4, publish, stage, target_of, unpublish, unstage};

type Operation = fn(&Machine, &Volumes, Capability);

fn do_stage(machine: &Machine, volumes: &Volumes, capability: Capability) {
    volumes.stage(&stage(machine, capability)).expect("staged");
}

fn do_publish(machine: &Machine, volumes: &Volumes, capability: Capability) {
    let staged = stage(machine, capability);
    let request = publish(&staged, &target_of(machine, &staged, "pod"));
    volumes.publish(&request).expect("published");
}

fn do_unpublish(machine: &Machine, volumes: &Volumes, capability: Capability) {
    let staged = stage(machine, capability);
    let request = publish(&staged, &target_of(machine, &staged, "pod"));
    volumes
        .unpublish(&unpublish(&request))
        .expect("unpublished");
}

fn do_unstage(machine: &Machine, volumes: &Volumes, capability: Capability) {
    let request = unstage(&stage(machine, capability));
    volumes.unstage(&request).expect("unstaged");
}

const LIFE: [Operation; 4] = [do_stage, do_publish, do_unpublish, do_unstage];

/// Runs the whole life with a death in the operation at `place`, and says whether it happened.
fn live(capability: &Capability, place: usize, death: Death) -> bool {
    let machine = Machine::new("trixie-one-path");
    let mut died = false;
    for (index, operation) in LIFE.iter().enumerate() {
        let volumes = machine.volumes();
        if index == place {
            machine.host.die(Some(death));
            let run = || operation(&machine, &volumes, capability.clone());
            died = catch_unwind(AssertUnwindSafe(run)).is_err();
            machine.host.die(None);
        }
        operation(&machine, &machine.volumes(), capability.clone());
    }
    assert!(machine.host.connected().is_empty(), "{place} {death:?}");
    let staged = stage(&machine, capability.clone());
    let target = target_of(&machine, &staged, "pod");
    for path in [&staged.staging_target_path, &target] {
        assert!(machine.mounts_at(path).is_empty(), "{place} {death:?}");
    }
    assert!(machine.state_files().is_empty(), "{place} {death:?}");
    assert!(!target.exists(), "{place} {death:?}");
    died
}

/// How many effects the operation at `place` has.
fn count_effects(capability: &Capability, place: usize) -> usize {
    let mut count = 0;
    while live(capability, place, Death::Before(count + 1)) {
        count += 1;
    }
    count
}

#[test]
fn a_kill_at_any_effect_of_a_filesystem_volume_loses_nothing() {
    kill_everywhere(&ext4(), [3, 2, 2, 2]);
}

#[test]
fn a_kill_at_any_effect_of_a_raw_block_volume_loses_nothing() {
    kill_everywhere(&block(), [1, 2, 2, 1]);
}

fn kill_everywhere(capability: &Capability, effects: [usize; 4]) {
    for (place, expected) in effects.into_iter().enumerate() {
        assert_eq!(
            count_effects(capability, place),
            expected,
            "operation {place}"
        );
        for number in 1..=expected {
            assert!(live(capability, place, Death::After(number)));
        }
    }
}
