//! Giving a map its disk: another volume is never taken for the one that was lost.

use std::fs;
use std::time::{Duration, Instant};

use nvmeof_csi::host::MapId;
use nvmeof_csi::volume::hold::{KeepError, Recorded, release};
use nvmeof_csi::volume::survey::read_staged;
use nvmeof_csi::volume::{Passed, PublishError, StageError, Suspended, Swapped, Volumes};

use crate::machine::{Machine, map_of};
use crate::requests::{block, ext4, id, publish, stage, target_of};

const OTHER: &str = "33333333-3333-4333-8333-333333333333\n";
const OURS: &str = "11111111-1111-4111-8111-111111111111\n";
const LOAD: &str = "load 3 queue_if_no_path queue_mode bio 0 1 1 round-robin 0 1 1 259:1 1";

/// A disk of device-mapper, as sysfs shows it.
pub(crate) fn show_map(machine: &Machine, name: &str, map: MapId, diskseq: u64) {
    let directory = machine.root().join("sys/block").join(name);
    fs::create_dir_all(directory.join("dm")).expect("a directory");
    fs::create_dir_all(directory.join("slaves")).expect("a directory");
    for (attribute, value) in [
        ("dm/uuid", map.uuid()),
        ("dm/suspended", "0".to_owned()),
        ("dev", "253:0".to_owned()),
        ("size", "131072".to_owned()),
        ("diskseq", diskseq.to_string()),
    ] {
        fs::write(directory.join(attribute), value + "\n").expect("an attribute");
    }
}

/// A raw block volume whose I/O is held by a map that has no disk now.
pub(crate) fn held(machine: &Machine) -> Volumes {
    let staged = machine.volumes().stage(&stage(machine, block()));
    staged.expect("staged");
    let map = map_of("volume-1");
    let path = machine.state_dir().join("volumes/volume-1/record.json");
    let record = fs::read_to_string(&path).expect("a record");
    let hold = format!("\"hold\": {{ \"dm\": \"{}\" }}", map.uuid());
    let edited = record.replacen("\"hold\": \"none\"", &hold, 1);
    assert_ne!(edited, record, "{record}");
    fs::write(&path, edited).expect("a record");
    show_map(machine, "dm-0", map, 40);
    machine.host.take_log();
    machine.volumes()
}

fn bring_back(volumes: &Volumes) -> Swapped {
    volumes.holds().bring_back(&id("volume-1")).expect("a swap")
}

/// What it is told by would be seen a moment later only: its block size.
#[test]
fn a_disk_that_has_no_queue_yet_gets_no_io() {
    let machine = Machine::new("trixie-one-path");
    let volumes = held(&machine);
    machine
        .host
        .devices(|devices| devices.take("queue/logical_block_size"));
    assert_eq!(bring_back(&volumes), Swapped::NoDisk);
    let log = machine.host.take_log();
    assert!(!log.iter().any(|it| it.starts_with("load")), "{log:?}");
}

#[test]
fn a_disk_that_was_proved_twice_gets_the_io() {
    let machine = Machine::new("trixie-one-path");
    let volumes = held(&machine);
    assert_eq!(bring_back(&volumes), Swapped::Done);
    assert_eq!(machine.host.take_log(), [LOAD, "resume"]);
}

#[test]
fn a_map_that_lost_its_last_disk_is_suspended_and_flows_again_by_a_load_and_a_resume() {
    let machine = Machine::new("trixie-one-path");
    let volumes = held(&machine);
    let suspend = || volumes.holds().suspend(&id("volume-1")).expect("an answer");
    assert_eq!(suspend(), Suspended::NotNeeded, "it has no table yet");
    let map = machine.root().join("sys/block/dm-0");
    fs::create_dir_all(map.join("slaves/nvme0n1")).expect("a directory");
    let below = map.join("slaves/nvme0n1/dev");
    fs::write(&below, "259:1\n").expect("an attribute");
    assert_eq!(suspend(), Suspended::NotNeeded, "its disk is there");
    let suspend_gone = || volumes.holds().suspend_gone(&id("volume-1"));
    let came = suspend_gone().expect("an answer");
    assert_eq!(came, Suspended::NotNeeded, "its disk is there");
    let controller = machine.host.connected()[0];
    machine.host.power_off();
    machine.host.take_log();
    assert_eq!(suspend(), Suspended::Done);
    assert_eq!(machine.host.take_log(), ["suspend map"]);
    assert_eq!(suspend_gone().expect("an answer"), Suspended::Done);
    assert_eq!(machine.host.take_log(), ["suspend map"]);
    let soon = Instant::now() + Duration::from_secs(60);
    volumes
        .holds()
        .suspend_all(Instant::now())
        .expect("none of them");
    assert!(machine.host.take_log().is_empty(), "no time is left");
    volumes.holds().suspend_all(soon).expect("all of them");
    assert_eq!(
        machine.host.take_log(),
        ["suspend map"],
        "a plugin that goes"
    );
    fs::write(map.join("dm/suspended"), "1\n").expect("an attribute");
    volumes.holds().suspend_all(soon).expect("all of them");
    assert_eq!(suspend(), Suspended::NotNeeded, "it is suspended");
    let came = suspend_gone().expect("an answer");
    assert_eq!(came, Suspended::NotNeeded, "it is suspended");
    assert_eq!(bring_back(&volumes), Swapped::NoDisk, "it stays as it is");
    assert!(machine.host.take_log().is_empty());
    machine.host.devices(|devices| devices.connect(controller));
    assert_eq!(bring_back(&volumes), Swapped::Done);
    assert_eq!(machine.host.take_log(), [LOAD, "resume"]);
}

#[test]
fn a_map_that_somebody_lets_go_is_neither_suspended_nor_given_a_disk() {
    let machine = Machine::new("trixie-one-path");
    let volumes = held(&machine);
    let map = map_of("volume-1");
    let directory = machine.root().join("sys/block/dm-0");
    fs::create_dir_all(directory.join("slaves/nvme0n1")).expect("a directory");
    fs::write(directory.join("slaves/nvme0n1/dev"), "259:9\n").expect("an attribute");
    fs::write(directory.join("dm/name"), map.let_go_name() + "\n").expect("an attribute");
    let error = volumes
        .holds()
        .bring_back(&id("volume-1"))
        .expect_err("let go");
    assert!(error.to_string().contains("was let go"), "{error}");
    machine.host.power_off();
    machine.host.take_log();
    let suspended = volumes.holds().suspend(&id("volume-1")).expect("an answer");
    assert_eq!(suspended, Suspended::NotNeeded);
    assert!(machine.host.take_log().is_empty());
    fs::write(directory.join("dm/name"), map.name() + "\n").expect("an attribute");
    let suspended = volumes.holds().suspend(&id("volume-1")).expect("an answer");
    assert_eq!(suspended, Suspended::Done);
}

#[test]
fn a_map_whose_paths_have_not_failed_hands_no_error_up() {
    let machine = Machine::new("trixie-one-path");
    let volumes = held(&machine);
    let pass = || {
        volumes
            .holds()
            .pass_errors(&id("volume-1"))
            .expect("an answer")
    };
    assert_eq!(pass(), Passed::NotNeeded, "it is not known to have failed");
    machine.host.power_off();
    machine.host.take_log();
    assert_eq!(pass(), Passed::NotNeeded, "it has no disk");
    assert!(machine.host.take_log().is_empty());
}

#[test]
fn a_new_table_that_the_kernel_refuses_leaves_the_old_one_flowing() {
    let machine = Machine::new("trixie-one-path");
    let volumes = held(&machine);
    machine.host.fail("resume");
    volumes
        .holds()
        .bring_back(&id("volume-1"))
        .expect_err("refused");
    assert_eq!(machine.host.take_log(), [LOAD, "resume", "resume"]);
}

#[test]
fn a_map_whose_new_disk_somebody_has_taken_is_suspended_until_it_is_free() {
    let machine = Machine::new("trixie-one-path");
    let volumes = held(&machine);
    let map = machine.root().join("sys/block/dm-0");
    fs::create_dir_all(map.join("slaves/nvme0n1")).expect("a directory");
    fs::write(map.join("slaves/nvme0n1/dev"), "259:9\n").expect("an attribute");
    machine.host.fail("load");
    let error = volumes
        .holds()
        .bring_back(&id("volume-1"))
        .expect_err("taken");
    assert!(matches!(error, KeepError::Swap(_)), "{error}");
    assert_eq!(machine.host.take_log(), [LOAD, "suspend map"]);
    let health = volumes.health(&id("volume-1")).expect("an answer");
    let reasons: Vec<_> = health.iter().map(|entry| entry.reason.as_str()).collect();
    // The controller of the captures is not tuned.
    assert_eq!(reasons, ["NoPath", "NotHeld"]);
    let entry = &health[0];
    assert!(
        entry.message.contains("somebody else uses 259:1"),
        "{entry:?}"
    );
    fs::write(map.join("dm/suspended"), "1\n").expect("an attribute");
    volumes
        .holds()
        .bring_back(&id("volume-1"))
        .expect_err("taken");
    assert_eq!(machine.host.take_log(), [LOAD], "it is suspended");
    machine.host.succeed("load");
    assert_eq!(bring_back(&volumes), Swapped::Done);
    assert_eq!(machine.host.take_log(), [LOAD, "resume"]);
    let health = volumes.health(&id("volume-1")).expect("an answer");
    assert!(
        !format!("{health:?}").contains("somebody else"),
        "{health:?}"
    );
}

#[test]
fn a_controller_gets_its_ctrl_loss_tmo_back_when_the_stage_fails_that_tuned_it() {
    let machine = Machine::new("trixie-one-path");
    let volumes = held(&machine);
    // The map is gone, and a new one vanishes again as soon as it is made.
    fs::remove_file(machine.root().join("sys/block/dm-0/dm/uuid")).expect("a map");
    let error = volumes.stage(&stage(&machine, block()));
    let error = error.expect_err("no map");
    assert!(matches!(error, StageError::LostAgain), "{error}");
    let expected = [
        "connect 4420",
        "tune nvme0 Some(After(0ns))",
        "create map",
        LOAD,
        "resume",
        "remove map",
        "tune nvme0 Some(After(600s))",
    ];
    assert_eq!(machine.host.take_log(), expected);
}

#[test]
fn heads_that_swap_between_the_proof_and_the_load_get_no_io() {
    let machine = Machine::new("trixie-one-path");
    let volumes = held(&machine);
    machine
        .host
        .meanwhile("load", |devices| devices.set("uuid", OTHER));
    assert_eq!(bring_back(&volumes), Swapped::NoDisk);
    assert_eq!(machine.host.take_log(), [LOAD, "clear"]);
    assert_eq!(bring_back(&volumes), Swapped::NoDisk);
    assert!(machine.host.take_log().is_empty(), "it is not even loaded");
    machine.host.devices(|devices| devices.set("uuid", OURS));
    assert_eq!(bring_back(&volumes), Swapped::Done);
    assert_eq!(machine.host.take_log(), [LOAD, "resume"]);
}

#[test]
fn a_number_that_becomes_another_disk_during_the_load_gets_no_io() {
    let machine = Machine::new("trixie-one-path");
    let volumes = held(&machine);
    machine
        .host
        .meanwhile("load", |devices| devices.set("diskseq", "777\n"));
    assert_eq!(bring_back(&volumes), Swapped::NoDisk);
    assert_eq!(machine.host.take_log(), [LOAD, "clear"]);
    assert_eq!(bring_back(&volumes), Swapped::Done);
}

#[test]
fn a_disk_that_goes_during_the_load_gets_no_io() {
    let machine = Machine::new("trixie-one-path");
    let volumes = held(&machine);
    machine.host.meanwhile("load", |devices| {
        for controller in devices.connected() {
            devices.disconnect(controller);
        }
    });
    assert_eq!(bring_back(&volumes), Swapped::NoDisk);
    assert_eq!(machine.host.take_log(), [LOAD, "clear"]);
}

#[test]
fn a_map_that_is_made_gets_a_small_share_of_the_memory_and_no_stage_fails_for_it() {
    for refused in [false, true] {
        let machine = Machine::new("trixie-one-path");
        let volumes = held(&machine);
        if refused {
            machine.host.fail("limit");
        }
        let staged = volumes.stage(&stage(&machine, block()));
        staged.expect("staged again");
        let log = machine.host.take_log();
        let made = ["create map", LOAD, "resume", "limit 253:0"];
        assert!(log.ends_with(&made.map(str::to_owned)), "{log:?}");
    }
}

#[test]
fn a_new_plugin_gives_the_maps_that_it_finds_their_share() {
    let machine = Machine::new("trixie-one-path");
    let volumes = held(&machine);
    show_map(&machine, "dm-1", map_of("of-nobody"), 41);
    volumes
        .holds()
        .limit_dirty_of_maps()
        .expect("maps that can be read");
    assert_eq!(machine.host.take_log(), ["limit 253:0"]);
}

/// The target's namespace is replaced by another one, which gets the name and number of the old.
fn replace(machine: &Machine) {
    let controller = machine.host.connected()[0];
    machine.host.power_off();
    machine.host.devices(|devices| {
        devices.retarget("trixie-one-path", |text| text.replace(OURS, OTHER));
        devices.connect(controller);
    });
    machine.host.take_log();
}

#[test]
fn another_volume_under_the_old_name_and_number_gets_no_io() {
    let machine = Machine::new("trixie-one-path");
    let volumes = held(&machine);
    // Looked at right before, so that whatever is remembered is as fresh as can be.
    volumes.health(&id("volume-1")).expect("an answer");
    replace(&machine);
    assert_eq!(bring_back(&volumes), Swapped::NoDisk);
    assert!(machine.host.take_log().is_empty());
}

#[test]
fn another_volume_under_the_old_name_and_number_is_not_published() {
    for capability in [ext4(), block()] {
        let machine = Machine::new("trixie-one-path");
        let volumes = machine.volumes();
        let staged = stage(&machine, capability);
        volumes.stage(&staged).expect("staged");
        volumes.health(&id("volume-1")).expect("an answer");
        replace(&machine);
        let published = publish(&staged, &target_of(&machine, &staged, "pod"));
        let error = volumes.publish(&published).expect_err("another volume");
        assert!(matches!(error, PublishError::Identity(_)), "{error}");
        let log = machine.host.take_log();
        assert!(log.is_empty(), "{log:?}");
    }
}

#[test]
fn another_map_under_the_old_number_is_not_the_volume() {
    let machine = Machine::new("trixie-one-path");
    let volumes = held(&machine);
    show_map(&machine, "dm-0", map_of("volume-2"), 41);
    let published = publish(&stage(&machine, block()), &machine.block_target("pod"));
    let error = volumes.publish(&published).expect_err("another volume");
    assert!(matches!(error, PublishError::NoDisk), "{error}");
    let log = machine.host.take_log();
    assert!(
        !log.iter().any(|effect| effect.starts_with("bind")),
        "{log:?}"
    );
}

#[test]
fn a_namespace_that_grew_is_recorded_before_its_map_gets_that_length_when_it_is_staged_anew() {
    let machine = Machine::new("trixie-one-path");
    let volumes = held(&machine);
    machine
        .host
        .devices(|devices| devices.set("size", "262144\n"));
    machine.host.fail("load");
    let request = stage(&machine, block());
    volumes.stage(&request).expect_err("no table can be loaded");
    let record = machine.state_dir().join("volumes/volume-1/record.json");
    let record = fs::read_to_string(record).expect("a record");
    let grown = format!("\"size_bytes\": {}", 262_144 * 512);
    assert!(record.contains(&grown), "{record}");
    machine.host.succeed("load");
    machine.host.take_log();
    volumes.stage(&request).expect("staged");
    let log = machine.host.take_log();
    assert!(log.contains(&LOAD.to_owned()), "{log:?}");
}

#[test]
fn a_release_without_the_plugin_lets_the_map_go_and_deletes_the_controller_in_which_io_may_wait() {
    let machine = Machine::new("trixie-one-path");
    held(&machine);
    let (root, state_dir) = (machine.root(), machine.state_dir());
    let release = |nqn: &str| {
        let nqn = nqn.parse().expect("a name");
        let (known, _) = read_staged(&root, &state_dir).expect("the records");
        let recorded = Recorded {
            known: &known,
            unknown: &[],
        };
        release(&root, &*machine.host, recorded, Some(&nqn)).expect("released")
    };
    let nqn = "nqn.2026-01.org.example:volume-1";
    let maps = release(nqn).maps;
    assert_eq!(maps, [map_of("volume-1")]);
    let log = machine.host.take_log();
    assert_eq!(log, ["let go"], "its controller is live");
    machine
        .host
        .devices(|devices| devices.set("state", "connecting\n"));
    let other = release("nqn.2026-01.org.example:other");
    assert!(other.maps.is_empty() && other.controllers.is_empty());
    assert_eq!(release(nqn).controllers.len(), 1);
    assert_eq!(machine.host.take_log(), ["let go", "disconnect nvme0"]);
}
