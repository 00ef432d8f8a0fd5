//! NodeGetVolumeStats, asked where kubelet asks.

use std::fs;
use std::path::Path;

use nvmeof_csi::volume::request::{ExpandRequest, StageRequest};
use nvmeof_csi::volume::{HealthReason, StatsError, Unit, Volumes};

use crate::machine::{Machine, PV};
use crate::requests::{block, expand, ext4, give, id, stage, target_of};

const SIZE: u64 = 64 << 20;

fn not_there(volumes: &Volumes, path: &Path) {
    let error = volumes.stats(&id("volume-1"), path).expect_err("not there");
    assert!(matches!(error, StatsError::NotThere { .. }), "{error}");
}

/// The node that kubelet has of a volume leads to another disk from now on, or to none.
fn redirect(machine: &Machine, node: &Path, to: &str) {
    let line = |name: &str| format!("/{name} {}", node.display());
    machine.host.edit_mounts(&line("nvme0n1"), &line(to));
}

fn raw(machine: &Machine) -> StageRequest {
    stage(machine, block())
}

#[test]
fn a_healthy_filesystem_tells_bytes_and_inodes() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let path = give(&machine, &volumes, &stage(&machine, ext4()));
    let stats = volumes.stats(&id("volume-1"), &path).expect("stats");
    assert!(!stats.condition.abnormal, "{:?}", stats.condition);
    let units: Vec<Unit> = stats.usage.iter().map(|usage| usage.unit).collect();
    assert_eq!(units, [Unit::Bytes, Unit::Inodes]);
    let bytes = stats.usage[0];
    assert!(bytes.total > 0 && bytes.used + bytes.available <= bytes.total);
    let staging = volumes.stats(&id("volume-1"), &machine.staging());
    assert_eq!(staging.expect("stats").usage.len(), 2);
}

#[test]
fn a_filesystem_is_wherever_it_is_mounted_and_the_node_of_its_disk_is_no_filesystem() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, ext4());
    volumes.stage(&staged).expect("staged");
    let elsewhere = machine.root().join("elsewhere");
    fs::create_dir(&elsewhere).expect("a directory");
    not_there(&volumes, &elsewhere);
    let node = machine.root().join("node");
    machine.mount_foreign(&node, "0:6 /nvme0n1 PATH rw - devtmpfs udev rw");
    not_there(&volumes, &node);
    machine.mount_foreign(&elsewhere, "259:1 / PATH rw - ext4 /dev/nvme0n1 rw");
    let stats = volumes.stats(&id("volume-1"), &elsewhere).expect("stats");
    assert_eq!(stats.usage.len(), 2);
    let request = ExpandRequest {
        volume_path: elsewhere.clone(),
        staging_target_path: None,
        ..expand(&machine, &staged, SIZE)
    };
    volumes.expand(&request).expect("as large");
    machine.mount_foreign(&elsewhere, "0:44 / PATH rw - tmpfs tmpfs rw");
    not_there(&volumes, &elsewhere);
}

#[test]
fn a_raw_block_volume_tells_its_size_at_the_node_that_kubelet_has_and_where_it_is_published() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = raw(&machine);
    let node = give(&machine, &volumes, &staged);
    let target = target_of(&machine, &staged, "pod");
    assert_ne!(node, target);
    for path in [node, target] {
        let stats = volumes.stats(&id("volume-1"), &path).expect("stats");
        assert_eq!((stats.usage.len(), stats.usage[0].total), (1, SIZE));
        assert!(!stats.condition.abnormal, "{:?}", stats.condition);
    }
}

#[test]
fn a_node_is_the_volume_only_while_it_shows_its_disk() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    volumes.stage(&raw(&machine)).expect("staged");
    let node = machine.kubelet().block_node("pod", PV);
    not_there(&volumes, &node);
    for (path, name) in [
        (&node, "nvme7n1"),
        (&node, "nvme0n1//deleted"),
        (&machine.kubelet().block_node("pod", "other"), "nvme7n1"),
    ] {
        let line = format!("0:6 /{name} PATH rw - devtmpfs udev rw");
        machine.mount_foreign(path, &line);
        not_there(&volumes, path);
    }
    // Wherever it lies: kubelet resolves links in its own directory before it asks to expand.
    let elsewhere = machine.root().join("elsewhere");
    machine.mount_foreign(&elsewhere, "0:6 /nvme0n1 PATH rw - devtmpfs udev rw");
    let stats = volumes.stats(&id("volume-1"), &elsewhere).expect("stats");
    assert_eq!(stats.usage[0].total, SIZE);
}

#[test]
fn a_node_that_kubelet_has_of_a_published_volume_is_stale_where_it_shows_its_disk_no_more() {
    for gone in ["nvme0n1//deleted", "nvme7n1"] {
        let machine = Machine::new("trixie-one-path");
        let volumes = machine.volumes();
        let node = give(&machine, &volumes, &raw(&machine));
        redirect(&machine, &node, gone);
        let stats = volumes.stats(&id("volume-1"), &node).expect("stats");
        assert_eq!(stats.usage[0].total, SIZE);
        assert!(stats.condition.abnormal);
        let message = stats.condition.message;
        let said = format!("{} is a mount of {gone}", node.display());
        assert!(message.contains(&said), "{message}");
        let health = volumes.health(&id("volume-1")).expect("an answer");
        assert_eq!(health[0].reason, HealthReason::StaleMount);
    }
}

#[test]
fn without_a_path_the_last_known_usage_is_told_and_the_condition() {
    for capability in [ext4(), block()] {
        let machine = Machine::new("trixie-one-path");
        let volumes = machine.volumes();
        let path = give(&machine, &volumes, &stage(&machine, capability));
        let healthy = volumes.stats(&id("volume-1"), &path).expect("stats");
        machine
            .host
            .devices(|devices| devices.set("state", "connecting\n"));
        let stats = volumes.stats(&id("volume-1"), &path).expect("stats");
        assert!(stats.condition.abnormal);
        let message = &stats.condition.message;
        assert!(message.contains("no path"), "{message}");
        assert_eq!(stats.usage, healthy.usage);
    }
}

#[test]
fn a_volume_that_was_never_healthy_in_this_program_tells_its_size_alone() {
    let machine = Machine::new("trixie-one-path");
    let path = give(&machine, &machine.volumes(), &stage(&machine, ext4()));
    machine.host.power_off();
    let volumes = machine.volumes();
    let stats = volumes.stats(&id("volume-1"), &path).expect("stats");
    let usage = stats.usage[0];
    assert_eq!((usage.total, usage.used, usage.available), (SIZE, 0, 0));
    assert!(stats.condition.abnormal);
}

#[test]
fn an_unknown_volume_or_path_is_not_found() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let target = machine.target("pod");
    let error = volumes
        .stats(&id("volume-1"), &target)
        .expect_err("not staged");
    assert!(matches!(error, StatsError::NotFound { .. }), "{error}");
    volumes.stage(&stage(&machine, ext4())).expect("staged");
    not_there(&volumes, &target);
}

#[test]
fn a_volume_whose_record_is_lost_is_known_by_what_is_mounted() {
    for (capability, units) in [(ext4(), 2), (block(), 1)] {
        let machine = Machine::new("trixie-one-path");
        let path = give(&machine, &machine.volumes(), &stage(&machine, capability));
        fs::rename(machine.state_dir(), machine.root().join("lost")).expect("moved");
        let volumes = machine.volumes();
        let stats = volumes.stats(&id("volume-1"), &path).expect("stats");
        assert_eq!(stats.usage.len(), units);
        assert!(stats.usage[0].total > 0);
    }
}
