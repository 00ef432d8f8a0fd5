//! NodeUnstageVolume, out of order and without what it would like to know.

use std::fs;
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use nvmeof_csi::report::outcome::{Outcome, Reason};
use nvmeof_csi::report::reporter::{Outcomes, Reporter};
use nvmeof_csi::volume::request::{ClaimRef, StageRequest};
use nvmeof_csi::volume::{LetGo, Timing, UnstageError, Volumes, VolumesConfig, Waits};
use nvmeof_csi::watch::Trees;

use crate::machine::Machine;
use crate::machine::fake_host::Death;
use crate::requests::{
    block, ext4, id, publish, stage, stage_second, target_of, unpublish, unstage,
};
use crate::swap::held;

/// The records are lost, and a new program starts.
pub(crate) fn forget_everything(machine: &Machine) -> Volumes {
    for id in fs::read_dir(machine.state_dir().join("volumes")).expect("records") {
        let directory = id.expect("an entry").path();
        for file in fs::read_dir(&directory).expect("files") {
            fs::remove_file(file.expect("an entry").path()).expect("removed");
        }
        fs::remove_dir(directory).expect("removed");
    }
    machine.volumes()
}

#[test]
fn unstaging_ten_times_is_a_success_each_time() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let request = stage(&machine, ext4());
    volumes.unstage(&unstage(&request)).expect("never staged");
    volumes.stage(&request).expect("staged");
    for _ in 0..10 {
        volumes.unstage(&unstage(&request)).expect("unstaged");
    }
    let log = machine.host.take_log();
    let disconnects = log.iter().filter(|effect| effect.starts_with("disconnect"));
    assert_eq!(disconnects.count(), 1, "{log:?}");
}

#[test]
fn a_published_volume_is_not_unstaged() {
    for capability in [ext4(), block()] {
        let machine = Machine::new("trixie-one-path");
        let volumes = machine.volumes();
        let staged = stage(&machine, capability);
        volumes.stage(&staged).expect("staged");
        let published = publish(&staged, &target_of(&machine, &staged, "pod"));
        volumes.publish(&published).expect("published");
        let error = volumes.unstage(&unstage(&staged)).expect_err("published");
        assert!(matches!(error, UnstageError::Published { .. }), "{error}");
        assert_eq!(machine.host.connected().len(), 1);
        volumes
            .unpublish(&unpublish(&published))
            .expect("unpublished");
        volumes.unstage(&unstage(&staged)).expect("unstaged");
    }
}

#[test]
fn without_a_record_the_mount_tells_what_to_detach() {
    let machine = Machine::new("trixie-one-path");
    let staged = stage(&machine, ext4());
    machine.volumes().stage(&staged).expect("staged");
    let volumes = forget_everything(&machine);
    volumes.unstage(&unstage(&staged)).expect("unstaged");
    assert!(machine.mounts_at(&machine.staging()).is_empty());
    assert!(machine.host.connected().is_empty());
}

#[test]
fn without_record_and_mount_nothing_is_touched() {
    let machine = Machine::new("trixie-one-path");
    let staged = stage(&machine, block());
    machine.volumes().stage(&staged).expect("staged");
    let volumes = forget_everything(&machine);
    machine.host.take_log();
    volumes
        .unstage(&unstage(&staged))
        .expect("nothing is known");
    assert!(machine.host.take_log().is_empty());
}

#[test]
fn what_others_mounted_at_the_staging_path_stays() {
    let machine = Machine::new("trixie-one-path");
    machine.mount_foreign(&machine.staging(), "8:1 / PATH rw - ext4 /dev/sda1 rw");
    let request = unstage(&stage(&machine, ext4()));
    let error = machine.volumes().unstage(&request).expect_err("not ours");
    assert!(matches!(error, UnstageError::Unmount(_)), "{error}");
    assert_eq!(machine.mounts_at(&machine.staging()), ["8:1"]);
}

#[test]
fn a_volume_whose_target_is_gone_is_unpublished_and_unstaged() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, ext4());
    volumes.stage(&staged).expect("staged");
    let published = publish(&staged, &machine.target("pod"));
    volumes.publish(&published).expect("published");
    machine.host.power_off();
    machine.host.take_log();
    volumes
        .unpublish(&unpublish(&published))
        .expect("unpublished");
    volumes.unstage(&unstage(&staged)).expect("unstaged");
    assert!(machine.mounts_at(&machine.staging()).is_empty());
    assert!(machine.state_files().is_empty());
}

#[test]
fn unpublish_after_unstage_and_without_stage_is_a_success() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, ext4());
    let published = unpublish(&publish(&staged, &machine.target("pod")));
    volumes.unpublish(&published).expect("never published");
    volumes.stage(&staged).expect("staged");
    volumes.unstage(&unstage(&staged)).expect("unstaged");
    volumes.unpublish(&published).expect("after unstage");
}

#[test]
fn a_target_that_does_not_answer_is_cut_off_before_the_unmount() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, ext4());
    volumes.stage(&staged).expect("staged");
    stop_answering(&machine);
    volumes.unstage(&unstage(&staged)).expect("unstaged");
    assert_eq!(
        machine.host.take_log(),
        ["disconnect nvme0", "unmount stage"]
    );
    assert!(machine.state_files().is_empty());
}

/// The volumes of a machine, and what users hear of them.
fn heard(machine: &Machine, timing: Timing) -> (Volumes, Outcomes) {
    heard_of(VolumesConfig {
        timing,
        ..machine.config()
    })
}

fn heard_of(config: VolumesConfig) -> (Volumes, Outcomes) {
    let (reporter, outcomes) = Reporter::new();
    let volumes = Volumes::new(VolumesConfig { reporter, ..config });
    (volumes.expect("readable records"), outcomes)
}

/// The same where a lost path has this time to return, and what is seen of the machine.
fn patient(machine: &Machine, path: Duration) -> (Volumes, Outcomes, Trees) {
    let timing = Timing {
        path,
        ..machine.config().timing
    };
    let config = VolumesConfig {
        timing,
        ..machine.config()
    };
    let trees = config.trees.clone();
    let (volumes, outcomes) = heard_of(config);
    (volumes, outcomes, trees)
}

/// The next thing that users hear, if anything is left to be heard.
fn next(outcomes: &mut Outcomes) -> Option<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(outcomes.next())
}

#[test]
fn what_is_lost_is_told_to_claim_and_pods() {
    for capability in [ext4(), block()] {
        let machine = Machine::new("trixie-one-path");
        let (volumes, mut outcomes) = heard(&machine, machine.config().timing);
        let mut staged = stage(&machine, capability);
        let claim = ClaimRef {
            namespace: "shop".to_owned(),
            name: "data".to_owned(),
        };
        staged.claim = Some(claim.clone());
        volumes.stage(&staged).expect("staged");
        // A repeat that does not name the claim takes it from nobody.
        staged.claim = None;
        volumes.stage(&staged).expect("staged");
        machine
            .host
            .devices(|devices| devices.set("state", "connecting\n"));
        volumes.unstage(&unstage(&staged)).expect("unstaged");
        drop(volumes);
        let told = next(&mut outcomes).expect("an outcome");
        assert_eq!(told.reason, Reason::DataLost);
        assert_eq!(told.claim, Some(claim));
        assert!(machine.state_files().is_empty());
    }
}

#[test]
fn a_held_raw_block_volume_is_let_go_only_after_its_time_and_that_is_told() {
    let machine = Machine::new("trixie-one-path");
    held(&machine);
    let (volumes, mut outcomes) = heard(&machine, machine.config().timing);
    let staged = stage(&machine, block());
    let began = Instant::now();
    volumes.unstage(&unstage(&staged)).expect("unstaged");
    let waited = began.elapsed();
    assert!(waited >= machine.config().timing.path, "{waited:?}");
    let log = machine.host.take_log();
    assert_eq!(log.first().map(String::as_str), Some("let go"), "{log:?}");
    assert!(log.contains(&"remove map".to_owned()), "{log:?}");
    drop(volumes);
    let told = next(&mut outcomes).expect("an outcome");
    assert_eq!(told.reason, Reason::DataLost);
}

#[test]
fn a_held_volume_that_the_target_does_not_serve_loses_the_live_controller_in_which_its_io_waits() {
    let machine = Machine::new("trixie-one-path");
    let volumes = held(&machine);
    let slave = machine.root().join("sys/block/dm-0/slaves/nvme0n1");
    symlink(machine.root().join("sys/block/nvme0n1"), slave).expect("a disk below");
    let served = volumes
        .holds()
        .give_up(&id("volume-1"), Waits::ForPath)
        .expect("an answer");
    assert_eq!(served, LetGo::Reached);
    assert!(machine.host.take_log().is_empty(), "its I/O flows");
    machine
        .host
        .devices(|devices| devices.set("nvme0c0n1/ana_state", "inaccessible\n"));
    volumes
        .holds()
        .give_up(&id("volume-1"), Waits::ForPath)
        .expect("let go");
    assert_eq!(machine.host.take_log(), ["let go", "disconnect nvme0"]);
}

#[test]
fn io_that_never_completes_is_let_go_though_a_path_is_usable_unless_some_was_completed() {
    let machine = Machine::new("trixie-one-path");
    let volumes = held(&machine);
    let map = machine.root().join("sys/block/dm-0");
    let slave = map.join("slaves/nvme0n1");
    symlink(machine.root().join("sys/block/nvme0n1"), slave).expect("a disk below");
    fs::write(map.join("stat"), "4 0 0 0 3 0 0 0 1 0 0\n").expect("a file");
    let give_up = |completed| {
        volumes
            .holds()
            .give_up(&id("volume-1"), Waits::ForTarget { completed })
    };
    assert_eq!(give_up(6).expect("an answer"), LetGo::Reached);
    assert!(machine.host.take_log().is_empty(), "it got on");
    assert_eq!(give_up(7).expect("an answer"), LetGo::Done);
    let log = machine.host.take_log();
    assert_eq!(log, ["let go", "reset nvme0", "disconnect nvme0"]);
}

#[test]
fn a_held_raw_block_volume_that_gets_its_path_back_in_time_is_not_let_go() {
    let machine = Machine::new("trixie-one-path");
    held(&machine);
    let (volumes, mut outcomes, trees) = patient(&machine, Duration::from_secs(60));
    let staged = stage(&machine, block());
    symlink("nvme0n1", machine.root().join("dev/dm-0")).expect("a node");
    let slave = machine.root().join("sys/block/dm-0/slaves/nvme0n1");
    let mut seen = trees.scan().expect("a tree");
    thread::scope(|scope| {
        let unstaged = scope.spawn(|| volumes.unstage(&unstage(&staged)));
        // It looks again and again, and lets nothing go meanwhile.
        for _ in 0..4 {
            let deadline = Instant::now() + Duration::from_secs(60);
            let newer = trees.wait_newer(&seen, deadline);
            seen = newer.expect("another look");
        }
        symlink(machine.root().join("sys/block/nvme0n1"), &slave).expect("a disk below");
        unstaged.join().expect("no panic").expect("unstaged");
    });
    let log = machine.host.take_log();
    assert_eq!(log, ["remove map", "disconnect nvme0"]);
    drop(volumes);
    assert_eq!(next(&mut outcomes), None);
}

#[test]
fn a_volume_that_waits_for_its_path_is_looked_at_now_and_then_and_not_all_the_time() {
    let machine = Machine::new("trixie-one-path");
    held(&machine);
    let (volumes, _outcomes, trees) = patient(&machine, Duration::from_secs(2));
    let staged = stage(&machine, block());
    symlink("nvme0n1", machine.root().join("dev/dm-0")).expect("a node");
    let mut seen = trees.scan().expect("a tree");
    let looks = thread::scope(|scope| {
        let unstaged = scope.spawn(|| volumes.unstage(&unstage(&staged)));
        let mut looks = 0;
        while !unstaged.is_finished() {
            let soon = Instant::now() + Duration::from_millis(100);
            if let Some(newer) = trees.wait_newer(&seen, soon) {
                seen = newer;
                looks += 1;
            }
        }
        unstaged.join().expect("no panic").expect("unstaged");
        looks
    });
    // A look a second, and those of the steps before and after; without a rest it would be hundreds.
    assert!(looks < 50, "{looks}");
}

#[test]
fn a_raw_block_volume_that_cannot_be_written_back_is_told() {
    let machine = Machine::new("trixie-one-path");
    let (volumes, mut outcomes) = heard(&machine, machine.config().timing);
    let staged = stage(&machine, block());
    volumes.stage(&staged).expect("staged");
    let node = machine.root().join("dev/nvme0n1");
    fs::remove_file(&node).expect("removed");
    // The kernel refuses to write this one back.
    symlink("/dev/full", &node).expect("a node");
    volumes.unstage(&unstage(&staged)).expect("unstaged");
    drop(volumes);
    let told = next(&mut outcomes).expect("an outcome");
    assert_eq!(told.reason, Reason::DataLost);
    assert!(told.message.contains("written back"), "{}", told.message);
}

/// The target answers no more, and from now on the log begins.
fn stop_answering(machine: &Machine) {
    machine
        .host
        .devices(|devices| devices.set("state", "connecting\n"));
    machine.host.take_log();
}

/// Asserts that a volume stays because its I/O waits.
#[track_caller]
fn assert_held(volumes: &Volumes, staged: &StageRequest) {
    let error = volumes.unstage(&unstage(staged)).expect_err("it stays");
    assert!(matches!(error, UnstageError::Held), "{error}");
}

#[test]
fn a_target_that_does_not_answer_is_not_cut_off_from_another_volume() {
    let machine = Machine::new("trixie-two-namespaces");
    let volumes = machine.volumes();
    let staged = stage(&machine, ext4());
    volumes.stage(&staged).expect("staged");
    volumes
        .stage(&stage_second(&machine, block()))
        .expect("staged");
    stop_answering(&machine);
    assert_held(&volumes, &staged);
    assert!(machine.host.take_log().is_empty());
    machine
        .host
        .devices(|devices| devices.set("state", "live\n"));
    volumes
        .unstage(&unstage(&staged))
        .expect("the target is back");
}

#[test]
fn a_filesystem_without_a_record_waits_for_its_target_where_another_volume_needs_it() {
    let machine = Machine::new("trixie-two-namespaces");
    let staged = stage(&machine, ext4());
    machine.volumes().stage(&staged).expect("staged");
    forget_everything(&machine);
    let volumes = machine.volumes();
    volumes
        .stage(&stage_second(&machine, block()))
        .expect("staged");
    stop_answering(&machine);
    assert_held(&volumes, &staged);
    assert_eq!(machine.mounts_at(&machine.staging()).len(), 1);
}

#[test]
fn a_raw_disk_that_waits_in_a_controller_of_others_is_not_called_unstaged() {
    let machine = Machine::new("trixie-two-namespaces");
    let volumes = machine.volumes();
    let staged = stage(&machine, block());
    volumes.stage(&staged).expect("staged");
    volumes
        .stage(&stage_second(&machine, block()))
        .expect("staged");
    stop_answering(&machine);
    assert_held(&volumes, &staged);
}

#[test]
fn a_raw_disk_that_waits_in_a_controller_that_was_adopted_is_not_called_unstaged() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, block());
    volumes.stage(&staged).expect("staged");
    let owner = machine.root().join("run/nvme/registry/nvme0/owner");
    fs::remove_file(owner).expect("somebody else connected it");
    stop_answering(&machine);
    assert_held(&volumes, &staged);
    let log = machine.host.take_log();
    assert_eq!(log, ["connect 4420"], "it was asked for, and is not ours");
}

#[test]
fn what_a_kill_left_half_staged_is_known_by_its_mount() {
    let machine = Machine::new("trixie-one-path");
    let staged = stage(&machine, ext4());
    machine.host.die(Some(Death::After(3)));
    let volumes = machine.volumes();
    catch_unwind(AssertUnwindSafe(|| volumes.stage(&staged))).expect_err("killed after the mount");
    machine.host.die(None);
    machine
        .volumes()
        .unstage(&unstage(&staged))
        .expect("unstaged");
    assert!(machine.mounts_at(&machine.staging()).is_empty());
    assert!(machine.host.connected().is_empty());
}
