//! NodeGetVolumeStats.

use nvmeof_csi::volume::{StatsError, Unit};

use crate::machine::Machine;
use crate::requests::{block, ext4, id, publish, stage};

const SIZE: u64 = 64 << 20;

#[test]
fn a_healthy_filesystem_tells_bytes_and_inodes() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, ext4());
    volumes.stage(&staged).expect("staged");
    let stats = volumes
        .stats(&id("volume-1"), &machine.staging())
        .expect("stats");
    assert!(!stats.condition.abnormal, "{:?}", stats.condition);
    let units: Vec<Unit> = stats.usage.iter().map(|usage| usage.unit).collect();
    assert_eq!(units, [Unit::Bytes, Unit::Inodes]);
    let bytes = stats.usage[0];
    assert!(bytes.total > 0 && bytes.used + bytes.available <= bytes.total);
}

#[test]
fn a_raw_block_volume_tells_its_size() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, block());
    volumes.stage(&staged).expect("staged");
    let target = machine.target("pod");
    volumes
        .publish(&publish(&staged, &target))
        .expect("published");
    let stats = volumes.stats(&id("volume-1"), &target).expect("stats");
    assert_eq!((stats.usage.len(), stats.usage[0].total), (1, SIZE));
    assert!(!stats.condition.abnormal);
}

#[test]
fn without_a_path_the_last_known_usage_is_told_and_the_condition() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, ext4());
    volumes.stage(&staged).expect("staged");
    let healthy = volumes
        .stats(&id("volume-1"), &machine.staging())
        .expect("stats");
    machine
        .host
        .devices(|devices| devices.set("state", "connecting\n"));
    let stats = volumes
        .stats(&id("volume-1"), &machine.staging())
        .expect("stats");
    assert!(stats.condition.abnormal);
    assert!(
        stats.condition.message.contains("no path"),
        "{:?}",
        stats.condition
    );
    assert_eq!(stats.usage, healthy.usage);
}

#[test]
fn a_volume_that_was_never_healthy_in_this_program_tells_its_size_alone() {
    let machine = Machine::new("trixie-one-path");
    machine
        .volumes()
        .stage(&stage(&machine, ext4()))
        .expect("staged");
    machine.host.power_off();
    let volumes = machine.volumes();
    let stats = volumes
        .stats(&id("volume-1"), &machine.staging())
        .expect("stats");
    let usage = stats.usage[0];
    assert_eq!((usage.total, usage.used, usage.available), (SIZE, 0, 0));
    assert!(stats.condition.abnormal);
}

#[test]
fn an_unknown_volume_or_path_is_not_found() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let error = volumes
        .stats(&id("volume-1"), &machine.staging())
        .expect_err("not staged");
    assert!(matches!(error, StatsError::NotFound { .. }), "{error}");
    volumes.stage(&stage(&machine, ext4())).expect("staged");
    let error = volumes
        .stats(&id("volume-1"), &machine.target("elsewhere"))
        .expect_err("not there");
    assert!(matches!(error, StatsError::NotThere { .. }), "{error}");
}
