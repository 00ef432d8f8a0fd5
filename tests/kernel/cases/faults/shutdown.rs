//! A node that shuts down while its target is away, in systemd's order and with systemd's waits.
//!
//! The order is that of src/shutdown in systemd 257 (Debian 13): sync; SIGTERM, then SIGKILL to all; unmount all and
//! remove all maps until nothing changes any more; sync; reboot. What systemd gives a process of its own, to abandon
//! it after a time, gets a thread here. Swap, loop and md devices are left out: a volume has none. The reboot itself
//! is left out too, because other cases follow.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use kernel_lab::guest::program;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::Running;
use crate::case::Case;
use crate::host::REPORT;
use crate::plugin::{KUBELET, Use};
use crate::scene::{cli, eventually};
use crate::writer;

pub(super) const CASES: &[Case] = &[
    Case::new(
        "row_15_a_shutdown_after_a_release_ends_in_time_and_leaves_nothing",
        || with_the_unit(Use::Filesystem("ext4")),
    ),
    Case::new(
        "row_15_a_shutdown_after_a_release_ends_in_time_with_a_raw_block_volume",
        || with_the_unit(Use::Block),
    ),
    Case::new(
        "row_15_a_shutdown_without_a_release_reaches_the_reboot",
        || without_the_unit(Use::Filesystem("ext4")),
    ),
    Case::new(
        "row_15_a_shutdown_without_a_release_reaches_the_reboot_with_a_raw_block_volume",
        || without_the_unit(Use::Block),
    ),
];

const ENDS_WITHIN: Duration = Duration::from_secs(60);
/// `DEFAULT_TIMEOUT_USEC`: for processes to end after each signal, and for each mount.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(90);
/// `SYNC_PROGRESS_ATTEMPTS` times `SYNC_TIMEOUT_USEC`: a sync that makes no progress.
const SYNC_TIMEOUT: Duration = Duration::from_secs(30);
/// Many waits of 90 s would be longer than all other rows together.
const SHORTER: u32 = 10;

/// What deploy/host's unit does comes first, when kubelet and the containers have been told to stop.
fn with_the_unit(usage: Use) {
    let (_running, _writer) = park(usage);
    let began = Instant::now();
    cli(&["release", "--all"]).expect(0);
    let order = Order::play(1);
    let took = began.elapsed();
    assert_eq!(order.given_up, Vec::<String>::new());
    assert_eq!((mounts(), maps()), (Vec::new(), Vec::new()));
    assert!(took < ENDS_WITHIN, "{took:?}");
    eprintln!(
        "{REPORT}row 15, shutdown with the unit, {usage:?}: {:.1} s to the reboot, nothing is left",
        took.as_secs_f64()
    );
}

fn without_the_unit(usage: Use) {
    let (_running, _writer) = park(usage);
    let order = Order::play(SHORTER);
    let kills = order.given_up.iter().filter(|what| *what == KILLED);
    assert_eq!(kills.count(), 1, "the write is held: {:?}", order.given_up);
    // systemd 252 (Debian 12) syncs each map itself, without a limit: there this is the end.
    let synced =
        |(what, thread): &(String, JoinHandle<()>)| what == MAP_SYNC && thread.is_finished();
    assert!(
        !order.abandoned.iter().any(synced),
        "a sync of a held map ends"
    );
    eprintln!(
        "{REPORT}row 15, shutdown without the unit, {usage:?}: {:.0} s to the reboot with the waits of systemd 257, \
         played {SHORTER} times shorter, given up: {}; {} mounts and {} maps are left",
        order.took.as_secs_f64(),
        order.given_up.join(", "),
        mounts().len(),
        maps().len()
    );
    assert!(!maps().is_empty(), "the write is held by the map");
    cli(&["release", "--all"]).expect(0);
    eventually("what was abandoned to end", || {
        let mut threads = order.abandoned.iter();
        threads
            .all(|(_, thread)| thread.is_finished())
            .then_some(())
    });
    let rest = Order::play(1);
    assert_eq!(rest.given_up, Vec::<String>::new());
    assert_eq!((mounts(), maps()), (Vec::new(), Vec::new()));
}

/// A process of a pod whose write waits for a target that never returns.
fn park(usage: Use) -> (Running, Child) {
    let running = Running::start(usage, &[("pathLossTimeout", "never")]);
    let target = running.volume.target();
    let path = match usage {
        Use::Filesystem(_) => target.join("written"),
        Use::Block => target,
    };
    let writer = Command::new("/init").arg(writer::WRITE).arg(path).spawn();
    let writer = writer.expect("the writer starts");
    let stat = PathBuf::from(format!("/proc/{}/stat", writer.id()));
    let io = PathBuf::from(format!("/proc/{}/io", writer.id()));
    eventually("the writer to be at work", || {
        let counts = fs::read_to_string(&io).ok()?;
        let bytes = counts
            .lines()
            .find_map(|line| line.strip_prefix("wchar: "))?;
        (bytes.parse::<usize>().ok()? > 20 * writer::BLOCK).then_some(())
    });
    running.cut();
    // Without a controller nothing else can keep it in the kernel.
    eventually("a write to be held", || {
        let stat = fs::read_to_string(&stat).expect("it runs");
        let (_, fields) = stat.rsplit_once(") ").expect("its name");
        fields.starts_with('D').then_some(())
    });
    (running, writer)
}

/// How a step is called that was given up because processes were still there.
const KILLED: &str = "processes after SIGKILL";

/// How a step is called that writes what a map's node holds, and flushes the disk.
const MAP_SYNC: &str = "a sync of the map";

/// One shutdown.
struct Order {
    /// Waits are so many times shorter than systemd's.
    shorter: u32,
    /// The steps that did not end in their time.
    given_up: Vec<String>,
    /// What still goes on of them.
    abandoned: Vec<(String, JoinHandle<()>)>,
    /// What systemd would have waited beside what was waited here.
    not_waited: Duration,
    /// The time until the reboot, as it would have been with systemd's waits.
    took: Duration,
}

impl Order {
    fn play(shorter: u32) -> Order {
        let mut order = Order {
            shorter,
            given_up: Vec::new(),
            abandoned: Vec::new(),
            not_waited: Duration::ZERO,
            took: Duration::ZERO,
        };
        let began = Instant::now();
        order.sync();
        order.end_all(Signal::SIGTERM, "processes after SIGTERM");
        order.end_all(Signal::SIGKILL, KILLED);
        let mut last_try = false;
        loop {
            let unmounted = order.unmount_all();
            let removed = order.remove_maps();
            let changed = unmounted || removed;
            if (mounts().is_empty() && maps().is_empty()) || (last_try && !changed) {
                break;
            }
            last_try = !changed;
        }
        order.sync();
        order.took = began.elapsed() + order.not_waited;
        order
    }

    /// Does something that may never end, and goes on without it after a time.
    fn bounded<T: Send + 'static>(
        &mut self,
        what: &str,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, done) = mpsc::channel();
        let thread = thread::spawn(move || {
            let _nobody_waits = sender.send(work());
        });
        let value = done.recv_timeout(limit / self.shorter).ok();
        if value.is_none() {
            self.give_up(what, limit);
            self.abandoned.push((what.to_owned(), thread));
        }
        value
    }

    fn give_up(&mut self, what: &str, limit: Duration) {
        self.given_up.push(what.to_owned());
        self.not_waited += limit - limit / self.shorter;
    }

    fn sync(&mut self) {
        self.bounded("sync", SYNC_TIMEOUT, rustix::fs::sync);
    }

    /// Signals every process but this and PID 1, and waits for the end of its children.
    fn end_all(&mut self, signal: Signal, what: &str) {
        match kill(Pid::from_raw(-1), signal) {
            // Nobody else is there.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => panic!("kill: {errno}"),
        }
        let deadline = Instant::now() + DEFAULT_TIMEOUT / self.shorter;
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Err(Errno::ECHILD) => return,
                Err(errno) => panic!("waitpid: {errno}"),
                Ok(WaitStatus::StillAlive) if Instant::now() > deadline => {
                    return self.give_up(what, DEFAULT_TIMEOUT);
                }
                Ok(WaitStatus::StillAlive) => thread::sleep(Duration::from_millis(20)),
                Ok(_) => {}
            }
        }
    }

    /// Whether anything was unmounted.
    fn unmount_all(&mut self) -> bool {
        let mut changed = false;
        loop {
            let mut some = false;
            for (path, fs_type) in mounts() {
                // A device node is bound from a filesystem of the system, which stays writable.
                if fs_type != "devtmpfs" {
                    let path = path.clone();
                    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
                    let remount =
                        move || mount::<_, _, Path, Path>(None::<&Path>, &path, None, flags, None);
                    self.bounded("a remount", DEFAULT_TIMEOUT, remount);
                }
                let unmount = move || umount2(&path, MntFlags::MNT_FORCE);
                some |= self.bounded("an unmount", DEFAULT_TIMEOUT, unmount) == Some(Ok(()));
            }
            changed |= some;
            if !some {
                return changed;
            }
        }
    }

    /// Whether any map was removed.
    fn remove_maps(&mut self) -> bool {
        let mut changed = false;
        for map in maps() {
            let node = Path::new("/dev").join(&map);
            let sync = move || File::open(node).and_then(|node| node.sync_all());
            self.bounded(MAP_SYNC, SYNC_TIMEOUT, sync);
            let name = Path::new("/sys/block").join(&map).join("dm/name");
            let name = fs::read_to_string(name).expect("a name");
            let remove = move || {
                let mut dmsetup = program("dmsetup");
                dmsetup.args(["remove", "--noudevsync", name.trim()]);
                dmsetup.output().expect("dmsetup runs").status.success()
            };
            // systemd asks for this itself, and would wait for ever.
            let removed = self.bounded("a removal", ENDS_WITHIN * self.shorter, remove);
            changed |= removed.expect("the kernel answers");
        }
        changed
    }
}

/// The mounts of volumes with their types, newest first.
fn mounts() -> Vec<(PathBuf, String)> {
    let table = fs::read_to_string("/proc/self/mounts").expect("the mount table");
    let mounts = table.lines().rev().filter_map(|line| {
        let mut words = line.split(' ');
        let path = PathBuf::from(words.nth(1)?);
        path.starts_with(KUBELET)
            .then_some((path, words.next()?.to_owned()))
    });
    mounts.collect()
}

/// The disks of maps.
fn maps() -> Vec<String> {
    let disks = fs::read_dir("/sys/block").expect("the disks");
    let names = disks.map(|disk| disk.expect("an entry").file_name());
    let names = names.map(|name| name.into_string().expect("a name"));
    names.filter(|name| name.starts_with("dm-")).collect()
}
