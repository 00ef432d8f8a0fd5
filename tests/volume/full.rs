//! A state directory that takes nothing: it is full, or read-only. What takes a volume away succeeds all the same, and
//! is written down later.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nvmeof_csi::volume::repair::Repaired;
use nvmeof_csi::volume::request::{AccessMode, FilesystemType};
use nvmeof_csi::volume::{PublishError, Volumes};

use crate::machine::Machine;
use crate::requests::{
    block, ext4, filesystem, give, id, publish, stage, stage_second, target_of, unpublish, unstage,
};

/// The record of the volume cannot be written while this is there: what is written goes to a file that is always full.
struct Full(PathBuf);

impl Full {
    fn begin(machine: &Machine) -> Full {
        let path = new_record(machine);
        symlink("/dev/full", &path).expect("a link");
        Full(path)
    }

    fn end(self) {
        fs::remove_file(self.0).expect("it was not replaced");
    }
}

/// Where a record is written before it takes its place.
fn new_record(machine: &Machine) -> PathBuf {
    let volume = machine.state_dir().join("volumes/volume-1");
    volume.join("record.json.tmp")
}

fn record(machine: &Machine) -> String {
    let path = machine.state_dir().join("volumes/volume-1/record.json");
    fs::read_to_string(path).expect("a record")
}

/// The volumes that a program keeps.
fn kept(volumes: &Volumes) -> usize {
    volumes.staged().expect("readable").0.len()
}

/// Does something where the state directory is read-only: in a thread with mounts of its own. Only root can have them.
fn where_read_only(machine: &Machine, work: impl FnOnce() + Send) {
    fn bind(directory: &Path, flags: MsFlags) {
        let from = Some(directory).filter(|_| !flags.contains(MsFlags::MS_REMOUNT));
        let done = mount(
            from,
            directory,
            None::<&str>,
            flags | MsFlags::MS_BIND,
            None::<&str>,
        );
        done.expect("a bind mount");
    }
    let directory = machine.state_dir();
    let work = move || {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNS) {
            eprintln!("not tried: a mount namespace cannot be had: {error}");
            return;
        }
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        let done = mount(None::<&str>, "/", None::<&str>, private, None::<&str>);
        done.expect("mounts that nobody else sees");
        bind(&directory, MsFlags::empty());
        bind(&directory, MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY);
        work();
    };
    thread::scope(|scope| scope.spawn(work).join()).expect("no panic");
}

#[test]
fn a_volume_is_unpublished_on_a_full_disk_and_that_is_recorded_by_the_next_call() {
    for capability in [ext4(), block()] {
        let machine = Machine::new("trixie-one-path");
        let volumes = machine.volumes();
        let staged = stage(&machine, capability);
        volumes.stage(&staged).expect("staged");
        let target = target_of(&machine, &staged, "pod");
        let request = publish(&staged, &target);
        volumes.publish(&request).expect("published");
        let full = Full::begin(&machine);
        volumes.publish(&request).expect("it stays published");
        let next = publish(&staged, &target_of(&machine, &staged, "next"));
        let error = volumes.publish(&next).expect_err("full");
        assert!(matches!(error, PublishError::Record(_)), "{error}");
        for _ in 0..2 {
            volumes
                .unpublish(&unpublish(&request))
                .expect("unpublished");
        }
        assert!(machine.mounts_at(&target).is_empty() && !target.exists());
        full.end();
        let target = target.to_str().expect("UTF-8");
        assert!(record(&machine).contains(target), "it is behind");
        machine.volumes().publish(&next).expect("published");
        assert!(!record(&machine).contains(target));
    }
}

#[test]
fn a_publication_that_is_only_recorded_keeps_no_single_writer_out() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let mode = AccessMode::SingleNodeSingleWriter;
    let staged = stage(&machine, filesystem(FilesystemType::Ext4, mode));
    volumes.stage(&staged).expect("staged");
    let first = publish(&staged, &machine.target("pod"));
    volumes.publish(&first).expect("published");
    let full = Full::begin(&machine);
    volumes.unpublish(&unpublish(&first)).expect("unpublished");
    full.end();
    let next = publish(&staged, &machine.target("next"));
    machine.volumes().publish(&next).expect("published");
    volumes.publish(&first).expect_err("there is a writer now");
}

#[test]
fn what_was_unpublished_in_the_middle_of_a_repair_is_not_given_back() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, ext4());
    volumes.stage(&staged).expect("staged");
    let target = machine.target("pod");
    let request = publish(&staged, &target);
    volumes.publish(&request).expect("published");
    let (alive, dead) = ("/dev/nvme0n1 rw", "/dev/nvme0n1 rw,shutdown");
    machine.host.edit_mounts(alive, dead);
    machine.host.fail("mount");
    volumes.repair(&id("volume-1")).expect_err("no mount");
    let full = Full::begin(&machine);
    volumes
        .unpublish(&unpublish(&request))
        .expect("unpublished");
    full.end();
    machine.host.succeed("mount");
    let volumes = machine.volumes();
    volumes.repair(&id("volume-1")).expect("repaired");
    let again = volumes.repair(&id("volume-1")).expect("an answer");
    assert_eq!(again, Repaired::NotStale);
    assert!(machine.mounts_at(&target).is_empty() && !target.exists());
}

#[test]
fn a_repair_gives_the_pods_their_mounts_also_where_it_cannot_be_recorded() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, ext4());
    let target = give(&machine, &volumes, &staged);
    machine
        .host
        .devices(|devices| devices.set("dev", "259:7\n"));
    let path = new_record(&machine);
    machine.host.meanwhile("mount", move |_| {
        symlink("/dev/full", path).expect("a link");
    });
    let repair = |volumes: &Volumes| volumes.repair(&id("volume-1")).expect("an answer");
    assert!(matches!(repair(&volumes), Repaired::Done(_)));
    assert_eq!(machine.mounts_at(&target), ["259:7"]);
    machine.host.take_log();
    Full(new_record(&machine)).end();
    assert!(!record(&machine).contains("259:7"), "it is behind");
    let volumes = machine.volumes();
    assert!(matches!(repair(&volumes), Repaired::Done(_)));
    assert!(record(&machine).contains("259:7"));
    assert_eq!(repair(&volumes), Repaired::NotStale);
    assert!(
        machine.host.take_log().is_empty(),
        "nothing was taken away for it"
    );
}

#[test]
fn a_volume_with_half_a_filesystem_leaves_on_a_full_disk_and_is_known_as_that() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, ext4());
    let path = new_record(&machine);
    machine.host.meanwhile("format", move |_| {
        symlink("/dev/full", path).expect("a link");
    });
    machine.host.fail("format");
    volumes.stage(&staged).expect_err("half a filesystem");
    for volumes in [&volumes, &machine.volumes()] {
        assert_eq!(kept(volumes), 0);
        volumes.unstage(&unstage(&staged)).expect("it has left");
    }
    assert!(record(&machine).contains("formatting"), "it is behind");
    Full(new_record(&machine)).end();
    machine.host.succeed("format");
    let volumes = machine.volumes();
    assert!(record(&machine).contains("interrupted"));
    volumes.stage(&staged).expect("formatted anew");
    assert_eq!(kept(&machine.volumes()), 1);
}

#[test]
fn a_volume_leaves_where_the_records_are_read_only_and_no_program_takes_it_for_staged() {
    for capability in [ext4(), block()] {
        let machine = Machine::new("trixie-two-namespaces");
        let volumes = machine.volumes();
        let staged = stage(&machine, capability);
        volumes.stage(&staged).expect("staged");
        let request = publish(&staged, &target_of(&machine, &staged, "pod"));
        volumes.publish(&request).expect("published");
        where_read_only(&machine, || {
            volumes
                .unpublish(&unpublish(&request))
                .expect("unpublished");
            volumes.unstage(&unstage(&staged)).expect("unstaged");
            for volumes in [&volumes, &machine.volumes()] {
                assert_eq!(kept(volumes), 0);
                volumes.unstage(&unstage(&staged)).expect("it has left");
            }
            assert_eq!(machine.state_files(), ["record.json"]);
            volumes.stage(&staged).expect_err("it cannot be recorded");
        });
        let again = stage_second(&machine, block());
        volumes.stage(&again).expect("staged");
        volumes.unstage(&unstage(&again)).expect("unstaged");
        volumes
            .unpublish(&unpublish(&request))
            .expect("unpublished");
        volumes.unstage(&unstage(&staged)).expect("unstaged");
        assert!(machine.host.connected().is_empty());
        assert!(
            machine.state_files().is_empty(),
            "{:?}",
            machine.state_files()
        );
    }
}

#[test]
fn a_volume_that_comes_back_after_it_has_left_is_staged() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let staged = stage(&machine, ext4());
    volumes.stage(&staged).expect("staged");
    where_read_only(&machine, || {
        volumes.unstage(&unstage(&staged)).expect("unstaged");
    });
    for volumes in [&volumes, &machine.volumes()] {
        volumes.stage(&staged).expect("staged");
        assert_eq!((kept(volumes), kept(&machine.volumes())), (1, 1));
    }
}
