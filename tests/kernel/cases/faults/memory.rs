//! A process that writes more than memory holds while its volume cannot be written.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kernel_lab::guest::nvmet::Subsystem;

use super::{Running, disks_below, volume};
use crate::case::{Case, OTHER_DISK_MIB, Profile, TARGET_DISK_MIB};
use crate::host::REPORT;
use crate::plugin::Use;
use crate::scene::{NQN, Scene, UUID, eventually, target};
use crate::writer::{BLOCK, Writer, pattern, verify};

pub(super) const CASES: &[Case] = &[Case::new(
    "row_24_a_writer_that_fills_memory_while_its_volume_is_gone_stops_nobody_else",
    fills,
)
.on(Profile::LittleMemory)
.in_real_time()];

/// How many blocks are written in all: more than may ever be dirty, and than is free.
const BLOCKS: u64 = (320 << 20) / BLOCK as u64;
/// So many writes of somebody else show that his disk moves.
const OTHERS: u64 = 50;

fn fills() {
    let running = start();
    let device = running.volume.target();
    let before = disks_below(&running.volume);
    let process = running.plugin.id();
    running.withdraw();
    let written = AtomicU64::new(0);
    let longest = thread::scope(|scope| {
        let filler = scope.spawn(|| fill(&device, &written));
        let other = Writer::start_cached(&disk_of(OTHER_DISK_MIB));
        eventually("the writer to be stopped by the kernel", || {
            let before = written.load(Ordering::Relaxed);
            other.wait_for(OTHERS);
            (before > 0 && written.load(Ordering::Relaxed) == before).then_some(())
        });
        let dirty = written.load(Ordering::Relaxed);
        assert!(dirty < BLOCKS, "nothing stopped the writer");
        assert!(!running.is_whole());
        running.export();
        other.wait_for(OTHERS);
        let other = other.finish();
        let longest = filler.join().expect("no panic");
        eprintln!(
            "{REPORT}row 24, the other disk: {other}; {} MiB were dirty",
            (dirty * BLOCK as u64) >> 20
        );
        longest
    });
    let after = disks_below(&running.volume);
    assert!(
        after.iter().all(|disk| !before.contains(disk)),
        "a swap: {before:?} {after:?}"
    );
    assert_eq!(running.plugin.id(), process);
    assert!(running.is_whole(), "the plugin lives");
    eprintln!(
        "{REPORT}row 24: {BLOCKS} writes, 0 failed, longest {:.1} s",
        longest.as_secs_f64()
    );
    running.end();
    verify(&disk_of(TARGET_DISK_MIB), BLOCKS);
}

/// On a target whose disk is not in memory.
fn start() -> Running {
    let scene = Scene::new();
    let exported = Subsystem::create(NQN).expect("a subsystem");
    let added = exported.add_namespace(1, &disk_of(TARGET_DISK_MIB), UUID);
    added.expect("a namespace");
    let port = scene.listen(1, target(0), 4420, &[&exported]);
    Running::on(scene, exported, port, volume(Use::Block, &[]))
}

/// The PCIe disk of this size.
fn disk_of(mib: u32) -> PathBuf {
    let sectors = u64::from(mib) << 11;
    let disks = fs::read_dir("/sys/class/nvme").expect("controllers");
    let mut disks = disks.filter_map(|entry| {
        let name = entry.expect("an entry").file_name().into_string().ok()?;
        let disk = format!("{name}n1");
        let size = fs::read_to_string(Path::new("/sys/block").join(&disk).join("size")).ok()?;
        (size.trim().parse() == Ok(sectors)).then(|| Path::new("/dev").join(disk))
    });
    disks.next().expect("a PCIe disk of this size")
}

/// Writes without ever asking for anything to be on the disk but at the end; returns how long the longest write took.
fn fill(device: &Path, written: &AtomicU64) -> Duration {
    let file = File::options().write(true).open(device);
    let file = file.expect("the device opens");
    let mut longest = Duration::ZERO;
    for number in 0..BLOCKS {
        let began = Instant::now();
        file.write_all_at(&pattern(number).0, number * BLOCK as u64)
            .expect("a write");
        longest = longest.max(began.elapsed());
        written.store(number + 1, Ordering::Relaxed);
    }
    file.sync_all().expect("everything is on the disk");
    longest
}
