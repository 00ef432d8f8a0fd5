//! A write that the target still has when its controller is given up: who sends what again, and in which order.
//!
//! Behind the target lies a disk of the case's own, which keeps one write for a while, and serves all else at once, later
//! writes of the same block, too. Where the old write lands last it stays over a newer one; no host can see that coming, so
//! what stands in the end is only told.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use kernel_lab::guest::nvmet::Subsystem;

use super::{Running, volume};
use crate::case::Case;
use crate::guest::clean_up;
use crate::host::REPORT;
use crate::nbd::{NetworkDisk, Step};
use crate::plugin::Use;
use crate::scene::{NQN, Scene, UUID, eventually, net, target};
use crate::writer::{BLOCK, Block};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "row_32_a_slow_write_is_sent_once_while_the_kernel_waits_for_it",
        || {
            patient(SLOW, None, &ONE_PATH);
            clean_up().expect("a clean machine");
            patient(SLOW, None, &TWO_PATHS);
        },
    ),
    Case::new(
        "row_32_with_a_longer_time_out_of_the_kernel_a_slower_write_is_sent_once_too",
        || {
            patient(TOO_SLOW, Some(LONGER), &ONE_PATH);
            clean_up().expect("a clean machine");
            patient(TOO_SLOW, Some(LONGER), &TWO_PATHS);
        },
    ),
    Case::new(
        "row_32_a_write_that_outlasts_the_time_out_is_sent_again_before_any_later_one",
        || {
            impatient("timed out, one path", &ONE_PATH, |_| {});
            clean_up().expect("a clean machine");
            impatient("timed out, two paths", &TWO_PATHS, |_| {});
            clean_up().expect("a clean machine");
            impatient("timed out, no map", &NO_MAP, |_| {});
        },
    ),
    Case::new(
        "row_32_a_write_that_outlasts_a_cut_link_is_sent_again_before_any_later_one",
        || {
            impatient("link cut", &ONE_PATH, |running| {
                running.cut();
                net::set_up("v0").expect("the cable is back");
            });
        },
    ),
];

const BYTES: usize = 64 << 20;
/// Where the block lies.
const AT: u64 = 60 << 20;
/// Less than the kernel waits for an answer, which is 30 s.
const SLOW: Duration = Duration::from_secs(20);
/// Longer than that, and than it takes to connect again and to write something else.
const TOO_SLOW: Duration = Duration::from_secs(45);
/// Longer than that.
const LONGER: Duration = Duration::from_secs(120);
/// What a write may take: a target of 6.1 admits nobody while it has it, and then the connect that waited times out, too.
const PATIENCE: Duration = Duration::from_secs(180);

/// Two writes of the same block, by what it is filled with.
const FIRST: u8 = 0xaa;
const SECOND: u8 = 0xbb;

const ONE_PATH: [(&str, &str); 1] = [("pathLossHold", "dm")];
const NO_MAP: [(&str, &str); 1] = [("pathLossHold", "none")];
const TWO_PATHS: [(&str, &str); 2] = [("pathLossHold", "dm"), ("addresses", "10.0.0.2,10.0.1.2")];

/// How long the kernel waits for the answer of a disk whose controller comes later; as before when it is dropped.
struct TimeOut {
    before: String,
}

impl TimeOut {
    const PARAMETER: &str = "/sys/module/nvme_core/parameters/io_timeout";

    fn of(time: Duration) -> TimeOut {
        let before = fs::read_to_string(Self::PARAMETER).expect("a parameter");
        fs::write(Self::PARAMETER, time.as_secs().to_string()).expect("a time");
        TimeOut { before }
    }
}

impl Drop for TimeOut {
    fn drop(&mut self) {
        fs::write(Self::PARAMETER, &self.before).expect("the time before");
    }
}

/// A raw volume on such a disk.
struct Kept {
    disk: NetworkDisk,
    running: Running,
    path: PathBuf,
    began: Instant,
}

impl Kept {
    fn start(parameters: &[(&str, &str)]) -> Kept {
        let disk = NetworkDisk::make(BYTES);
        let scene = Scene::new();
        scene.add_cable(1);
        let exported = Subsystem::create(NQN).expect("a subsystem");
        let added = exported.add_namespace(1, NetworkDisk::node(), UUID);
        added.expect("a namespace");
        scene.listen(2, target(1), 4420, &[&exported]);
        let port = scene.listen(1, target(0), 4420, &[&exported]);
        let running = Running::on(scene, exported, port, volume(Use::Block, parameters));
        eventually("all paths", || running.is_whole().then_some(()));
        Kept {
            path: running.volume.target(),
            disk,
            running,
            began: Instant::now(),
        }
    }

    /// The disk has the first write, and keeps it.
    fn write_first(&self, kept_for: Duration) -> Receiver<io::Result<()>> {
        self.disk.hold_next_write(AT, kept_for);
        let told = write(&self.path, FIRST);
        eventually("the disk to have it", || {
            (!self.disk.seen().is_empty()).then_some(())
        });
        told
    }

    fn write_second(&self) {
        is_done(&write(&self.path, SECOND));
    }

    fn is_in_the_image(&self) -> bool {
        let seen = self.disk.seen();
        seen.iter().any(|seen| seen.step == Step::WrittenLate)
    }

    /// What the disk did with which write, in order.
    fn steps(&self) -> Vec<(Step, u8)> {
        let seen = self.disk.seen();
        seen.iter().map(|seen| (seen.step, seen.byte)).collect()
    }

    /// The same with the seconds of each.
    fn tell(&self, what: &str) {
        let seen = self.disk.seen();
        let steps: Vec<String> = seen
            .iter()
            .map(|seen| {
                let after = seen.at - self.began;
                format!(
                    "{:x} {:?} {:.1} s",
                    seen.byte,
                    seen.step,
                    after.as_secs_f64()
                )
            })
            .collect();
        let last = read(&self.path);
        eprintln!(
            "{REPORT}row 32, {what}: {}; in the end {last:x}",
            steps.join(", ")
        );
    }

    fn end(self) {
        let exported = self.running.exported.clone();
        self.running.end();
        exported.remove_namespace(1).expect("the namespace goes");
        self.disk.end();
    }
}

/// Past the cache, in a thread, which a failed case leaves behind.
fn write(path: &Path, byte: u8) -> Receiver<io::Result<()>> {
    let (tell, told) = channel();
    let path = path.to_owned();
    thread::spawn(move || {
        let mut options = File::options();
        let file = options.write(true).custom_flags(libc::O_DIRECT).open(path);
        let block = Box::new(Block([byte; BLOCK]));
        tell.send(file.and_then(|file| file.write_all_at(&block.0, AT)))
    });
    told
}

#[track_caller]
fn is_done(told: &Receiver<io::Result<()>>) {
    let answer = told.recv_timeout(PATIENCE).expect("an answer in time");
    answer.expect("a write that was held, and not failed");
}

/// What the block is filled with, past the cache.
fn read(path: &Path) -> u8 {
    let mut options = File::options();
    let file = options.read(true).custom_flags(libc::O_DIRECT).open(path);
    let mut block = Box::new(Block([0; BLOCK]));
    let read = file.and_then(|file| file.read_exact_at(&mut block.0, AT));
    read.expect("a read");
    let [first, ..] = block.0;
    assert_eq!(block.0, [first; BLOCK], "the block of one write");
    first
}

/// The kernel waits for longer than the disk keeps the write.
fn patient(kept_for: Duration, time_out: Option<Duration>, parameters: &[(&str, &str)]) {
    let _longer = time_out.map(TimeOut::of);
    let kept = Kept::start(parameters);
    let first = kept.write_first(kept_for);
    is_done(&first);
    kept.write_second();
    assert_eq!(
        kept.steps(),
        [
            (Step::Held, FIRST),
            (Step::WrittenLate, FIRST),
            (Step::Written, SECOND)
        ]
    );
    assert_eq!(read(&kept.path), SECOND);
    assert!(kept.running.is_whole(), "nothing was lost");
    kept.end();
}

/// The disk keeps the write for longer than its controller lives.
fn impatient(what: &str, parameters: &[(&str, &str)], lose: fn(&Running)) {
    let kept = Kept::start(parameters);
    let first = kept.write_first(TOO_SLOW);
    lose(&kept.running);
    is_done(&first);
    kept.write_second();
    let found = read(&kept.path);
    if !kept.is_in_the_image() {
        assert_eq!(found, SECOND, "until the old one lands");
    }
    eventually("the old one to land", || {
        kept.is_in_the_image().then_some(())
    });
    kept.tell(what);
    let mut steps = kept.steps();
    steps.retain(|(step, _)| *step == Step::Written);
    // A path that is lost once more has it sent once more.
    steps.dedup();
    let again = [(Step::Written, FIRST), (Step::Written, SECOND)];
    assert_eq!(steps, again, "again, and not after the later one");
    kept.end();
}
