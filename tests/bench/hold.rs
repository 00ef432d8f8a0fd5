//! What the hold costs: 4 KiB of direct I/O through a map beside the same on the bare disk, on a real kernel.

#![expect(clippy::print_stdout, reason = "what a benchmark prints is its result")]

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use kernel_lab::guest::{Channel, Machine};
use nvme_fabrics::{Fabrics, Owner};
use nvme_sysfs::{Namespace, NamespaceSelector, Nqn, Sysfs};
use nvmeof_csi::host::dm::OnPathLoss;
use nvmeof_csi::host::{Host, LinuxHost, MapId, MapTable, Timeouts};

use guest::{Failure, NQN, PATIENCE};
use times::Times;

mod guest;
mod times;

const ROUNDS: u64 = 1000;
const BLOCK: usize = 4096;

fn main() -> ExitCode {
    guest::main("hold", measure)
}

/// Aligned as direct I/O wants it.
#[repr(align(4096))]
struct Block([u8; BLOCK]);

/// Each operation on the one, then on the other.
fn measure(machine: &Machine, channel: &mut Channel) -> Result<(), Failure> {
    Fabrics::at("/").connect(&guest::options()?, PATIENCE)?;
    let disk = find_disk()?;
    let paths = [Path::new("/dev").join(&disk.name), lay_map(&disk)?];
    let files = paths.map(|path| open(&path));
    let [bare, map] = files;
    let files = [bare?, map?];
    let (mut reads, mut writes) = (
        [(); 2].map(|()| Times::default()),
        [(); 2].map(|()| Times::default()),
    );
    let mut block = Box::new(Block([1; BLOCK]));
    for round in 0..=ROUNDS {
        let offset = round * BLOCK as u64;
        for (index, file) in files.iter().enumerate() {
            let began = Instant::now();
            file.write_all_at(&block.0, offset)?;
            let written = Instant::now();
            file.read_exact_at(&mut block.0, offset)?;
            let read = Instant::now();
            // The first round finds cold caches.
            if round > 0 {
                writes[index].add(written - began);
                reads[index].add(read - written);
            }
        }
    }
    let release = &machine.release;
    channel.line(&format!(
        "4 KiB, direct, on Linux {release}, emulated, {ROUNDS} rounds (fastest / median)"
    ))?;
    for (what, [bare, map]) in [("read", reads), ("write", writes)] {
        let ratio = map.ratio_to(&bare).ok_or("no rounds")?;
        channel.line(&format!(
            "{what:5}  disk {bare}  map {map}  ratio of the medians {ratio:.2}"
        ))?;
    }
    Ok(())
}

fn find_disk() -> Result<Namespace, Failure> {
    let nqn: Nqn = NQN.parse()?;
    let began = Instant::now();
    loop {
        let tree = Sysfs::at("/").scan()?;
        if let Some(disk) = tree.find_namespace(&nqn, &NamespaceSelector::Only)? {
            return Ok(disk.clone());
        }
        if began.elapsed() > PATIENCE {
            return Err("the namespace does not come".into());
        }
        thread::yield_now();
    }
}

/// The map that a volume gets at stage; returns its device.
fn lay_map(disk: &Namespace) -> Result<PathBuf, Failure> {
    let host = LinuxHost::new("/", Owner::Program, Timeouts::default());
    let map = MapId::of_volume("csi.example", "volume-1");
    let table = MapTable {
        devices: vec![disk.dev.ok_or("a disk without a number")?],
        size_bytes: disk.size_bytes,
        read_only: false,
        on_path_loss: OnPathLoss::Queue,
    };
    host.create_map(map)?;
    host.load_map(map, &table)?;
    host.resume_map(map)?;
    Ok(PathBuf::from("/dev/dm-0"))
}

fn open(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    let direct = options.read(true).write(true).custom_flags(libc::O_DIRECT);
    direct.open(path)
}
