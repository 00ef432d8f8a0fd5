//! One bad block: its error reaches who asked for it, and nobody else notices.
//!
//! The block goes bad at the target, whose namespace lies on a map of this machine with an `error` target in it.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use kernel_lab::guest::nvmet::{self, Port, Subsystem};
use nix::sys::signal::{Signal, kill};

use super::bystanders::dmsetup;
use super::foreign::{assert_untouched, losetup, mismatch, own_file};
use super::restarts::{assert_nothing_is_suspended, process, restarted};
use super::{Running, volume};
use crate::case::{Case, Profile};
use crate::plugin::{Use, said};
use crate::scene::{
    BIG, NQN, OTHER_UUID, PATIENCE, Scene, UUID, controllers, eventually, net, target,
};
use crate::strace::{TRACE, attach, detach, threads};
use crate::writer::{BLOCK, Block, Writer};

pub(super) const CASES: &[Case] = &[
    Case::new("row_27_a_bad_block_of_a_raw_volume_fails_alone", || {
        alone(Use::Block);
    }),
    Case::new("row_27_a_bad_block_below_ext4_fails_alone", || {
        alone(Use::Filesystem("ext4"));
    }),
    Case::new("row_27_a_bad_block_below_xfs_fails_alone", || {
        alone(Use::Filesystem("xfs"));
    }),
    Case::new(
        "row_27_a_write_past_the_end_of_a_namespace_that_shrank_fails_alone",
        shrunk,
    ),
    Case::new("row_27_a_bad_block_behind_two_paths_fails_alone", two_paths),
    Case::new(
        "row_27_without_multipath_a_bad_block_behind_two_paths_fails_alone",
        two_paths,
    )
    .on(Profile::MultipathOff),
    Case::new(
        "row_27_a_plugin_that_is_killed_at_any_step_of_it_costs_no_other_write",
        killed,
    ),
    Case::new(
        "row_27_a_target_that_is_lost_after_it_and_returns_costs_no_write",
        lost_after_it,
    ),
    Case::new(
        "row_27_a_target_that_is_lost_within_it_costs_no_later_write_and_no_other_namespace",
        lost_within_it,
    ),
];

/// The target's disk, by the name of its map.
const BAD: &str = "bad-disk";
const LOOP: &str = "/dev/loop0";
const SECTOR: u64 = 512;
/// Bytes of a namespace that no filesystem is on.
const SMALL: u64 = 64 << 20;
/// Where the bad block of a raw volume lies, far behind what the writer writes.
const FAR: u64 = 60 << 20;

/// The disk behind the namespace.
struct Disk {
    sectors: u64,
}

impl Disk {
    fn make(bytes: u64) -> Disk {
        nvmet::backing_file(&own_file(), bytes).expect("a backing file");
        losetup(&[LOOP.as_ref(), own_file().as_os_str()]);
        let disk = Disk {
            sectors: bytes / SECTOR,
        };
        let table = format!("0 {} linear {LOOP} 0", disk.sectors);
        dmsetup(&["create", "--noudevsync", "--table", &table, BAD]);
        disk
    }

    fn path() -> PathBuf {
        let columns = ["info", "-c", "--noheadings", "-o", "blkdevname", BAD];
        Path::new("/dev").join(dmsetup(&columns).trim())
    }

    /// The block at this byte can be neither read nor written.
    fn damage(&self, byte: u64) {
        let bad = byte / SECTOR;
        let good = bad + BLOCK as u64 / SECTOR;
        let rest = self.sectors - good;
        self.load(&format!(
            "0 {bad} linear {LOOP} 0\n{bad} {} error\n{good} {rest} linear {LOOP} {good}\n",
            good - bad
        ));
    }

    fn shrink(&self, bytes: u64) {
        self.load(&format!("0 {} linear {LOOP} 0\n", bytes / SECTOR));
    }

    fn mend(&self) {
        self.load(&format!("0 {} linear {LOOP} 0\n", self.sectors));
    }

    fn load(&self, table: &str) {
        let file = "/tmp/table";
        fs::write(file, table).expect("a table");
        dmsetup(&["load", BAD, file]);
        dmsetup(&["resume", "--noudevsync", BAD]);
    }

    fn remove(self, exported: &Subsystem) {
        exported.remove_namespace(1).expect("the namespace goes");
        dmsetup(&["remove", "--noudevsync", BAD]);
        losetup(&["-d".as_ref(), LOOP.as_ref()]);
    }
}

/// A volume on such a disk, and what it takes.
struct Damaged {
    running: Running,
    disk: Disk,
    /// What is read and written, and where in it the block is that goes bad.
    path: PathBuf,
    at: u64,
    /// Where that block lies on the disk.
    byte: u64,
}

impl Damaged {
    fn start(usage: Use) -> Damaged {
        Damaged::on(Scene::new(), usage, |_, _| {}, &[])
    }

    /// Exported by `more` as well.
    fn on(
        scene: Scene,
        usage: Use,
        more: fn(&Scene, &Subsystem),
        parameters: &[(&str, &str)],
    ) -> Damaged {
        let disk = Disk::make(match usage {
            Use::Filesystem(_) => BIG,
            Use::Block => SMALL,
        });
        let exported = Subsystem::create(NQN).expect("a subsystem");
        let added = exported.add_namespace(1, &Disk::path(), UUID);
        added.expect("a namespace");
        let port: Port = scene.listen(1, target(0), 4420, &[&exported]);
        more(&scene, &exported);
        let running = Running::on(scene, exported, port, volume(usage, parameters)).logged();
        let (path, at, byte) = match usage {
            Use::Block => (running.volume.target(), FAR, FAR),
            Use::Filesystem(_) => {
                let file = running.volume.target().join("bad");
                let byte = fill(&file);
                (file, 0, byte)
            }
        };
        Damaged {
            running,
            disk,
            path,
            at,
            byte,
        }
    }

    /// Asks for the bad block in a thread, which a failed case leaves behind.
    fn fails(&self, how: fn(&Path, u64) -> std::io::Result<()>) {
        let told = begin(how, &self.path, self.at);
        let answer = told.recv_timeout(PATIENCE).expect("an answer in time");
        let error = answer.expect_err("the block is bad");
        assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
    }

    /// The map holds again, and users know.
    fn is_told(&self) {
        let name = self.running.volume.map().name();
        eventually("a map that queues", || {
            let queues = dmsetup(&["table", &name]).contains("queue_if_no_path");
            let waits = dmsetup(&["info", &name]).contains("INACTIVE");
            (queues && !waits).then_some(())
        });
        eventually("an event", || said().contains("MediaError").then_some(()));
        assert!(!said().contains("PathLost"), "nothing was lost");
        let health = self.running.plugin.health(&self.running.volume);
        let health = health.expect("an answer");
        assert_eq!(health, ["MediaError"]);
    }

    /// Off the node; all that was written is on the disk.
    fn end(self, written: u64) {
        self.disk.mend();
        read(&self.path, self.at).expect("it is well again");
        let exported = self.running.exported.clone();
        self.running.end_and_verify(written);
        self.disk.remove(&exported);
    }
}

fn read(path: &Path, at: u64) -> std::io::Result<()> {
    let mut options = File::options();
    let file = options.read(true).custom_flags(libc::O_DIRECT).open(path)?;
    let mut block = Box::new(Block([0; BLOCK]));
    file.read_exact_at(&mut block.0, at)
}

fn write(path: &Path, at: u64) -> std::io::Result<()> {
    let mut options = File::options();
    let file = options
        .write(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)?;
    let block = Box::new(Block([0x5a; BLOCK]));
    file.write_all_at(&block.0, at)
}

/// Fills a file of a filesystem, and finds where on the disk its first block lies.
fn fill(path: &Path) -> u64 {
    let lines = (0..).flat_map(|number: u32| format!("a file, line {number:017}\n").into_bytes());
    let content: Vec<u8> = lines.take(16 * BLOCK).collect();
    fs::write(path, &content).expect("a file");
    let file = File::open(path).expect("a file");
    file.sync_all().expect("on the disk");
    let image = File::open(own_file()).expect("the backing file");
    let mut block = vec![0; BLOCK];
    // No filesystem puts data at a finer grain.
    let mut places = (0..BIG - BLOCK as u64).step_by(1024);
    let found = places.find(|place| {
        image.read_exact_at(&mut block, *place).expect("a read");
        block == content[..BLOCK]
    });
    found.expect("the content of the file on the disk")
}

fn alone(usage: Use) {
    let damaged = Damaged::start(usage);
    let writer = damaged.running.writer();
    damaged.disk.damage(damaged.byte);
    damaged.fails(read);
    writer.wait_for(20);
    damaged.fails(write);
    writer.wait_for(20);
    let beside = damaged.at + 8 * BLOCK as u64;
    read(&damaged.path, beside).expect("the others are well");
    damaged.is_told();
    let written = writer.end("row 27, beside a bad block");
    damaged.end(written);
}

/// A write that waits behind the end as the plugin comes to it, and what is asked for later.
fn shrunk() {
    let damaged = Damaged::start(Use::Block);
    let exported = damaged.running.exported.clone();
    let map = damaged.running.volume.map().name();
    let is_as_long = |sectors: u64| {
        let table = dmsetup(&["table", &map]);
        let found = table.starts_with(&format!("0 {sectors} multipath "));
        found.then_some(())
    };
    let refused = |told: Receiver<std::io::Result<()>>| {
        let answer = told.recv_timeout(PATIENCE).expect("an answer in time");
        answer.expect_err("it lies behind the end")
    };
    let writer = damaged.running.writer();
    let plugin = process(&damaged.running.plugin);
    kill(plugin, Signal::SIGSTOP).expect("it stops");
    damaged.disk.shrink(SMALL / 2);
    exported.revalidate(1).expect("the target looks");
    eventually("a smaller disk", || {
        (sectors_of(UUID) == SMALL / 2 / SECTOR).then_some(())
    });
    let told = begin(write, &damaged.path, damaged.at);
    eventually("a path that has failed", || {
        dmsetup(&["status", &map]).contains(" F ").then_some(())
    });
    kill(plugin, Signal::SIGCONT).expect("it goes on");
    let error = refused(told);
    assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
    assert_eq!(is_as_long(SMALL / 2 / SECTOR), Some(()));
    writer.wait_for(20);
    refused(begin(write, &damaged.path, damaged.at));
    refused(begin(read, &damaged.path, damaged.at));
    writer.wait_for(20);
    let health = damaged.running.plugin.health(&damaged.running.volume);
    assert_eq!(health.expect("an answer"), ["IdentityMismatch"]);
    damaged.disk.mend();
    exported.revalidate(1).expect("the target looks");
    eventually("a map as long as before", || is_as_long(SMALL / SECTOR));
    write(&damaged.path, damaged.at).expect("a write to its end");
    let written = writer.end("row 27, a namespace that shrank");
    damaged.end(written);
}

/// The length of the disk that a namespace has here.
fn sectors_of(uuid: &str) -> u64 {
    let disks = fs::read_dir("/sys/block").expect("the disks");
    let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
    let mut disks = disks.map(|entry| entry.expect("an entry").path());
    let disk =
        disks.find(|disk| read(disk.join("uuid")).trim() == uuid && disk.join("dev").exists());
    let size = read(disk.expect("the disk").join("size"));
    size.trim().parse().expect("a size")
}

fn two_paths() {
    let scene = Scene::new();
    scene.add_cable(1);
    let second = |scene: &Scene, exported: &Subsystem| {
        scene.listen(2, target(1), 4420, &[exported]);
    };
    let addresses = [("addresses", "10.0.0.2,10.0.1.2")];
    let damaged = Damaged::on(scene, Use::Block, second, &addresses);
    eventually("both paths", || damaged.running.is_whole().then_some(()));
    let writer = damaged.running.writer();
    damaged.disk.damage(damaged.byte);
    damaged.fails(read);
    damaged.is_told();
    writer.wait_for(20);
    net::set_down("v0").expect("a cable is pulled");
    eventually("one path", || (controllers().len() == 1).then_some(()));
    damaged.fails(write);
    writer.wait_for(20);
    net::set_up("v0").expect("the cable is back");
    eventually("both paths", || (controllers().len() == 2).then_some(()));
    let written = writer.end("row 27, two paths");
    damaged.end(written);
}

fn lost_after_it() {
    let damaged = Damaged::start(Use::Filesystem("ext4"));
    let writer = damaged.running.writer();
    damaged.disk.damage(damaged.byte);
    damaged.fails(read);
    damaged.is_told();
    damaged.running.withdraw();
    let waiting = writer.written();
    writer.target_returns();
    damaged.running.export();
    writer.wait_for(20);
    assert!(writer.written() > waiting);
    damaged.fails(read);
    writer.wait_for(20);
    let written = writer.end("row 27, lost after it");
    damaged.end(written);
}

/// The plugin is stopped in the moment in which errors pass, so that the loss falls into it.
fn lost_within_it() {
    let damaged = Damaged::start(Use::Block);
    let name = damaged.running.volume.map().name();
    damaged.disk.damage(damaged.byte);
    let plugin = process(&damaged.running.plugin);
    // Held back, the next command leaves the time to stop it before that.
    let keepers = threads(&damaged.running.plugin, "keep-");
    let expressions = ["trace=ioctl", "inject=ioctl:delay_enter=1s"];
    let mut strace = attach(&keepers, &expressions);
    let asked = begin(read, &damaged.path, damaged.at);
    let passes = || dmsetup(&["table", &name]).contains("linear");
    eventually("a table that passes errors", || passes().then_some(()));
    kill(plugin, Signal::SIGSTOP).expect("it runs");
    assert!(passes(), "it was stopped too late");
    damaged.running.withdraw();
    // As on a bare disk: it fails, or waits for a path.
    let below = begin(write, &damaged.path, damaged.at + 8 * BLOCK as u64);
    assert!(passes(), "nobody changes it meanwhile");
    detach(&strace);
    strace.wait().expect("it lets go");
    kill(plugin, Signal::SIGCONT).expect("it runs");
    let error = asked.recv_timeout(PATIENCE).expect("an answer in time");
    assert!(error.is_err(), "the block is bad");
    eventually("the map to be suspended", || {
        let state = dmsetup(&["info", &name]);
        state.contains("SUSPENDED").then_some(())
    });
    let writer = Writer::start_raw(&damaged.path);
    let other = Path::new("/tmp/foreign.img");
    nvmet::backing_file(other, SMALL).expect("a backing file");
    let exported = &damaged.running.exported;
    exported.remove_namespace(1).expect("the volume goes");
    let added = exported.add_namespace(1, other, OTHER_UUID);
    added.expect("the other namespace comes");
    damaged.running.export();
    mismatch(&damaged.running);
    writer.still_waits(0);
    assert_untouched(other);
    exported.remove_namespace(1).expect("the other one goes");
    writer.target_returns();
    let added = exported.add_namespace(1, &Disk::path(), UUID);
    added.expect("the volume comes back");
    writer.wait_for(20);
    assert_untouched(other);
    let below = below.recv_timeout(PATIENCE).expect("an answer in time");
    damaged.fails(read);
    writer.wait_for(20);
    let below = below.map_or_else(|error| error.to_string(), |()| "done".to_owned());
    let written = writer.end(&format!(
        "row 27, lost in the moment in which errors pass (a write below it then: {below})"
    ));
    damaged.end(written);
}

/// Asks for a block in a thread of its own, which a failed case leaves behind.
fn begin(
    how: fn(&Path, u64) -> std::io::Result<()>,
    path: &Path,
    at: u64,
) -> Receiver<std::io::Result<()>> {
    let path = path.to_owned();
    let (tell, told) = channel();
    thread::spawn(move || tell.send(how(&path, at)));
    told
}

/// The commands that change the map, in turn: the n-th of this kind from the first that failed on.
const STEPS: [(&str, usize); 5] = [
    ("DM_TARGET_MSG", 1),
    ("DM_TABLE_LOAD", 1),
    ("DM_DEV_SUSPEND", 1),
    ("DM_TABLE_LOAD", 2),
    ("DM_DEV_SUSPEND", 2),
];

fn killed() {
    let mut damaged = Damaged::start(Use::Block);
    let writer = damaged.running.writer();
    damaged.disk.damage(damaged.byte);
    for (command, number) in STEPS {
        let (path, at) = (damaged.path.clone(), damaged.at);
        let (tell, told) = channel();
        damaged.running = killed_at(command, number, damaged.running, || {
            thread::spawn(move || tell.send(read(&path, at)));
        });
        damaged.running = restarted(damaged.running);
        let answer = told.recv_timeout(PATIENCE).expect("an answer in time");
        let error = answer.expect_err("the block is bad");
        assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
        writer.wait_for(20);
        let name = damaged.running.volume.map().name();
        eventually("a map that queues", || {
            let queues = dmsetup(&["table", &name]).contains("queue_if_no_path");
            queues.then_some(())
        });
        assert_nothing_is_suspended();
    }
    let written = writer.end(&format!("row 27, killed at each of {STEPS:?}"));
    damaged.end(written);
}

/// Kills the plugin at the n-th call of the keeper's with these words, each of which is held back meanwhile.
fn killed_at(words: &str, number: usize, running: Running, provoke: impl FnOnce()) -> Running {
    let keepers = threads(&running.plugin, "keep-");
    let expressions = ["trace=ioctl", "inject=ioctl:delay_enter=1s"];
    let mut strace = attach(&keepers, &expressions);
    provoke();
    eventually(&format!("{words} {number} in the trace"), || {
        let trace = fs::read_to_string(TRACE).unwrap_or_default();
        (trace.matches(words).count() >= number).then_some(())
    });
    kill(process(&running.plugin), Signal::SIGKILL).expect("it runs");
    strace.wait().expect("it ends with what it watches");
    running
}
