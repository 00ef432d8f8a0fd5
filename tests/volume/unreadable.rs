//! A machine that cannot be looked at: the volumes are neither well nor ill, and nothing is taken away.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nvmeof_csi::volume::hold::{Recorded, ReleaseError, release};
use nvmeof_csi::volume::paths::PathError;
use nvmeof_csi::volume::survey::read_staged;
use nvmeof_csi::volume::{Timing, UnstageError, Volumes, VolumesConfig};

use crate::machine::Machine;
use crate::requests::{block, ext4, id, publish, source, stage, target_of, unpublish, unstage};
use crate::swap::held;
use crate::unstage::forget_everything;

/// The mount table, and an attribute of sysfs without which a disk cannot be judged.
const MOUNTS: &str = "proc/self/mountinfo";
const ATTRIBUTE: &str = "sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1/size";
/// Attributes of the disk and of a path on which no look depends where nobody's volume is behind them.
const READ_ONLY: &str = "sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1/ro";
const PATH: &str = "sys/class/nvme/nvme0/nvme0c0n1/ana_state";

/// How a file cannot be read.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    Missing,
    Garbage,
    NoFile,
}

/// A file that is not what it was, until it is mended.
struct Broken {
    path: PathBuf,
    content: Vec<u8>,
}

impl Broken {
    fn new(machine: &Machine, path: &str, trouble: Trouble) -> Broken {
        let path = machine.root().join(path);
        let content = fs::read(&path).expect("a file");
        fs::remove_file(&path).expect("it goes");
        match trouble {
            Trouble::Missing => {}
            Trouble::Garbage => fs::write(&path, "what is this?\n").expect("a file"),
            Trouble::NoFile => fs::create_dir(&path).expect("a directory"),
        }
        Broken { path, content }
    }

    fn mend(self) {
        if self.path.is_dir() {
            fs::remove_dir(&self.path).expect("it goes");
        }
        fs::write(&self.path, self.content).expect("a file");
    }
}

const TROUBLES: [(&str, Trouble); 5] = [
    (MOUNTS, Trouble::Missing),
    (MOUNTS, Trouble::Garbage),
    (MOUNTS, Trouble::NoFile),
    (ATTRIBUTE, Trouble::Garbage),
    (ATTRIBUTE, Trouble::NoFile),
];

/// What takes something away, by its first word.
const TAKES_AWAY: [&str; 5] = ["unmount", "disconnect", "remove", "let", "format"];

fn assert_nothing_was_taken(machine: &Machine) {
    let log = machine.host.take_log();
    let taken = log.iter().find(|effect| {
        let mut words = TAKES_AWAY.iter();
        words.any(|word| effect.split(' ').next() == Some(word))
    });
    assert_eq!(taken, None, "{log:?}");
}

#[test]
fn without_a_look_at_the_machine_no_call_takes_anything_away() {
    for (path, trouble) in TROUBLES {
        for capability in [ext4(), block()] {
            let machine = Machine::new("trixie-one-path");
            let volumes = machine.volumes();
            let staged = stage(&machine, capability);
            volumes.stage(&staged).expect("staged");
            let published = publish(&staged, &target_of(&machine, &staged, "pod"));
            volumes.publish(&published).expect("published");
            machine.host.take_log();
            let broken = Broken::new(&machine, path, trouble);
            assert!(volumes.look().is_err(), "{path} {trouble:?}");
            assert!(volumes.health(&id("volume-1")).is_err());
            assert!(volumes.repair(&id("volume-1")).is_err());
            assert!(volumes.unpublish(&unpublish(&published)).is_err());
            let error = volumes.unstage(&unstage(&staged)).expect_err("unknown");
            assert!(matches!(error, UnstageError::Look(_)), "{error}");
            assert_nothing_was_taken(&machine);
            broken.mend();
            volumes.health(&id("volume-1")).expect("known again");
            volumes
                .unpublish(&unpublish(&published))
                .expect("unpublished");
            volumes.unstage(&unstage(&staged)).expect("unstaged");
            assert!(machine.host.connected().is_empty());
        }
    }
}

#[test]
fn a_controller_that_nobody_wants_stays_while_sysfs_cannot_be_read() {
    for trouble in [Trouble::Garbage, Trouble::NoFile] {
        let machine = Machine::new("trixie-one-path");
        let volumes = machine.volumes();
        let staged = stage(&machine, block());
        volumes.stage(&staged).expect("staged");
        let controller = machine.host.connected()[0];
        let record = machine.state_dir().join("volumes/volume-1");
        fs::rename(record, machine.root().join("forgotten")).expect("forgotten");
        machine.host.take_log();
        let broken = Broken::new(&machine, ATTRIBUTE, trouble);
        let nqn = source(&[4420]).nqn;
        let drop = |volumes: &Volumes| volumes.paths().drop_controller(controller, &nqn);
        let error = drop(&volumes).expect_err("unknown");
        assert!(matches!(error, PathError::Scan(_)), "{error}");
        assert_nothing_was_taken(&machine);
        broken.mend();
        assert!(drop(&volumes).expect("known again"));
    }
}

#[test]
fn a_stale_volume_is_not_repaired_while_its_users_cannot_be_seen() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    volumes.stage(&stage(&machine, ext4())).expect("staged");
    machine
        .host
        .edit_mounts("/dev/nvme0n1 rw", "/dev/nvme0n1 rw,shutdown");
    let process = machine.root().join("proc/77");
    fs::create_dir_all(process.join("mountinfo")).expect("a directory in place of a file");
    fs::write(process.join("comm"), "app\n").expect("a file");
    machine.host.take_log();
    volumes.repair(&id("volume-1")).expect_err("unknown");
    assert_nothing_was_taken(&machine);
    fs::rename(process, machine.root().join("ended")).expect("it ends");
    volumes.repair(&id("volume-1")).expect("repaired");
    assert_eq!(machine.host.take_log(), ["unmount stage", "mount nvme0n1"]);
}

/// Makes a subsystem of somebody else that cannot be read in full.
fn put_other(machine: &Machine) {
    let other = machine.root().join("sys/class/nvme-subsystem/nvme-subsys7");
    fs::create_dir_all(&other).expect("a directory");
    fs::write(other.join("subsysnqn"), "nqn.2026-01.org.example:other\n").expect("a file");
    fs::write(other.join("iopolicy"), b"\xff\n").expect("a file");
}

#[test]
fn what_cannot_be_read_of_somebody_elses_subsystem_concerns_no_volume() {
    let machine = Machine::new("trixie-one-path");
    put_other(&machine);
    let volumes = machine.volumes();
    let staged = stage(&machine, ext4());
    volumes.stage(&staged).expect("staged");
    let published = publish(&staged, &target_of(&machine, &staged, "pod"));
    volumes.publish(&published).expect("published");
    assert_eq!(volumes.health(&id("volume-1")).expect("known"), []);
    volumes
        .unpublish(&unpublish(&published))
        .expect("unpublished");
    volumes.unstage(&unstage(&staged)).expect("unstaged");
    assert!(machine.host.connected().is_empty());
}

#[test]
fn what_has_no_record_keeps_its_map_and_mount_while_its_subsystem_cannot_be_read() {
    for capability in [ext4(), block()] {
        let machine = Machine::new("trixie-one-path");
        let staged = stage(&machine, capability);
        if staged.capability == block() {
            held(&machine);
            let slave = machine.root().join("sys/block/dm-0/slaves/nvme0n1");
            symlink(machine.root().join("sys/block/nvme0n1"), slave).expect("a disk below");
        } else {
            machine.volumes().stage(&staged).expect("staged");
        }
        let volumes = forget_everything(&machine);
        machine.host.take_log();
        let broken = Broken::new(&machine, READ_ONLY, Trouble::Garbage);
        let error = volumes.unstage(&unstage(&staged)).expect_err("unknown");
        assert!(matches!(error, UnstageError::Look(_)), "{error}");
        assert_nothing_was_taken(&machine);
        broken.mend();
        volumes.unstage(&unstage(&staged)).expect("known again");
        assert!(machine.host.connected().is_empty());
    }
}

#[test]
fn a_live_controller_of_which_a_path_cannot_be_read_is_not_released() {
    let machine = Machine::new("trixie-one-path");
    held(&machine);
    let (root, state_dir) = (machine.root(), machine.state_dir());
    let release = || {
        let (known, _) = read_staged(&root, &state_dir).expect("the records");
        let recorded = Recorded {
            known: &known,
            unknown: &[],
        };
        release(&root, &*machine.host, recorded, None)
    };
    let broken = Broken::new(&machine, PATH, Trouble::NoFile);
    let error = release().expect_err("unknown");
    assert!(matches!(error, ReleaseError::Scan(_)), "{error}");
    assert_eq!(machine.host.take_log(), ["let go"]);
    broken.mend();
    assert!(
        release().expect("known").controllers.is_empty(),
        "it serves"
    );
}

#[test]
fn a_doubt_beside_a_new_namespace_is_waited_for() {
    let machine = Machine::new("trixie-one-path");
    let timing = Timing {
        namespace: Duration::from_millis(400),
        ..machine.config().timing
    };
    let volumes = Volumes::new(VolumesConfig {
        timing,
        ..machine.config()
    });
    let volumes = volumes.expect("readable records");
    let began = Instant::now();
    machine.host.devices(|devices| devices.heads = false);
    machine.host.meanwhile("rescan", |devices| {
        devices.show_heads();
        devices.set("nvme0n1/ro", "maybe\n");
    });
    let error = volumes
        .stage(&stage(&machine, ext4()))
        .expect_err("unknown");
    let error = format!("{error:?}");
    assert!(error.contains("nvme0n1/ro"), "{error}");
    assert!(began.elapsed() >= timing.namespace);
}

#[test]
fn what_has_left_this_node_keeps_no_volume_from_being_judged() {
    let machine = Machine::new("trixie-one-path");
    let record = machine.state_dir().join("volumes/volume-1/record.json");
    fs::create_dir_all(record.parent().expect("a directory")).expect("a directory");
    fs::write(&record, "garbage").expect("a file");
    put_other(&machine);
    let volumes = machine.volumes();
    assert!(volumes.look().is_err(), "it may be of any subsystem");
    fs::remove_file(&record).expect("it goes");
    volumes.staged().expect("records");
    volumes.look().expect("none is staged");
}
