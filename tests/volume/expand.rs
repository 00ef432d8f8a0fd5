//! NodeExpandVolume.

use nvmeof_csi::volume::ExpandError;
use nvmeof_csi::volume::request::ExpandRequest;

use crate::machine::Machine;
use crate::requests::{block, expand, ext4, give, stage, target_of};

const SIZE: u64 = 64 << 20;

#[test]
fn a_filesystem_follows_its_namespace_after_a_rescan() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, ext4());
    give(&machine, &volumes, &staged);
    machine.host.take_log();
    machine.host.grow_at_rescan(2 * SIZE);
    let size = volumes
        .expand(&expand(&machine, &staged, 2 * SIZE))
        .expect("grown");
    assert_eq!(size, 2 * SIZE);
    assert_eq!(machine.host.take_log(), ["rescan nvme0", "grow stage"]);
}

#[test]
fn a_repeated_call_looks_at_the_filesystem_again_although_the_sizes_match() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, ext4());
    volumes.stage(&staged).expect("staged");
    volumes
        .expand(&expand(&machine, &staged, SIZE))
        .expect("as large");
    machine.host.take_log();
    volumes
        .expand(&expand(&machine, &staged, SIZE))
        .expect("as large");
    assert_eq!(machine.host.take_log(), ["rescan nvme0", "grow stage"]);
}

#[test]
fn a_raw_block_volume_has_only_its_size() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, block());
    give(&machine, &volumes, &staged);
    machine.host.take_log();
    let size = volumes
        .expand(&expand(&machine, &staged, SIZE))
        .expect("as large");
    assert_eq!(size, SIZE);
    assert_eq!(machine.host.take_log(), ["rescan nvme0"]);
}

#[test]
fn a_namespace_that_does_not_grow_or_is_over_the_limit_is_an_error() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, ext4());
    volumes.stage(&staged).expect("staged");
    let error = volumes
        .expand(&expand(&machine, &staged, 2 * SIZE))
        .expect_err("too small");
    assert!(matches!(error, ExpandError::TooSmall { .. }), "{error}");
    let mut limited = expand(&machine, &staged, SIZE);
    limited.required_bytes = None;
    limited.limit_bytes = Some(SIZE - 1);
    let error = volumes.expand(&limited).expect_err("too large");
    assert!(matches!(error, ExpandError::TooLarge { .. }), "{error}");
    let log = machine.host.take_log();
    assert!(
        !log.iter().any(|effect| effect.starts_with("grow")),
        "{log:?}"
    );
}

#[test]
fn after_growth_a_smaller_namespace_is_another_volume() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, block());
    volumes.stage(&staged).expect("staged");
    machine.host.grow_at_rescan(2 * SIZE);
    volumes
        .expand(&expand(&machine, &staged, 2 * SIZE))
        .expect("grown");
    machine
        .host
        .devices(|devices| devices.set("size", "131072\n"));
    let error = volumes
        .expand(&expand(&machine, &staged, SIZE))
        .expect_err("shrunk");
    assert!(matches!(error, ExpandError::Identity(_)), "{error}");
}

#[test]
fn a_volume_that_is_not_staged_or_not_there_is_not_found() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, ext4());
    let error = volumes
        .expand(&expand(&machine, &staged, SIZE))
        .expect_err("not staged");
    assert!(matches!(error, ExpandError::NotFound { .. }), "{error}");
    volumes.stage(&staged).expect("staged");
    let mut elsewhere = expand(&machine, &staged, SIZE);
    elsewhere.staging_target_path = None;
    let error = volumes.expand(&elsewhere).expect_err("not there");
    assert!(matches!(error, ExpandError::NotFound { .. }), "{error}");
}

#[test]
fn without_a_path_nothing_is_grown() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, ext4());
    volumes.stage(&staged).expect("staged");
    machine
        .host
        .devices(|devices| devices.set("state", "connecting\n"));
    machine.host.take_log();
    let error = volumes
        .expand(&expand(&machine, &staged, SIZE))
        .expect_err("no path");
    assert!(matches!(error, ExpandError::NoDisk), "{error}");
    assert!(machine.host.take_log().is_empty());
}

#[test]
fn a_volume_is_found_where_it_is_staged_published_or_shown() {
    for capability in [ext4(), block()] {
        let machine = Machine::new("trixie-one-path");
        let volumes = machine.volumes();
        let staged = stage(&machine, capability);
        let asked = give(&machine, &volumes, &staged);
        for volume_path in [
            asked,
            target_of(&machine, &staged, "pod"),
            staged.staging_target_path.clone(),
        ] {
            let request = ExpandRequest {
                volume_path,
                staging_target_path: None,
                ..expand(&machine, &staged, SIZE)
            };
            let size = volumes.expand(&request).expect("as large");
            assert_eq!(size, SIZE);
        }
    }
}

#[test]
fn a_path_that_kubelet_remembers_of_a_pod_that_is_gone_fails_no_expansion() {
    // kubelet keeps the path of the pod that had the disk last, and takes NOT_FOUND for ever.
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, block());
    give(&machine, &volumes, &staged);
    for path in [
        machine.block_target("pod-that-is-gone"),
        "csi-0011223344".into(),
    ] {
        let mut request = expand(&machine, &staged, SIZE);
        request.volume_path = path;
        volumes.expand(&request).expect("as large");
        request.staging_target_path = Some(machine.kubelet().block_staging("other"));
        let error = volumes.expand(&request).expect_err("another volume's");
        assert!(matches!(error, ExpandError::NotFound { .. }), "{error}");
    }
}
