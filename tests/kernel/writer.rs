//! A process of a pod that writes all the time, and notes what fails and how long it had to wait.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::host::REPORT;

/// Bytes of one write.
pub(crate) const BLOCK: usize = 4096;
/// The first argument that makes this binary write to a path until it is killed.
pub(crate) const WRITE: &str = "--write";
/// Longer than any outage of a case, and what it takes to recover on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(150);

/// A writer at work.
pub(crate) struct Writer {
    path: PathBuf,
    /// Where the first block lies.
    first: u64,
    shared: Arc<Shared>,
    thread: JoinHandle<io::Result<()>>,
}

/// What a writer has seen whose writes all succeeded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    /// How many writes there were.
    pub(crate) written: u64,
    /// The longest write.
    pub(crate) longest: Duration,
    /// The longest time from the return of the target to the end of the next write, if it was said to return.
    pub(crate) recovery: Option<Duration>,
}

impl fmt::Display for Figures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = self.longest.as_secs_f64();
        write!(
            formatter,
            "{} writes, 0 failed, longest {longest:.1} s",
            self.written
        )?;
        match self.recovery {
            Some(recovery) => write!(formatter, ", back in {:.1} s", recovery.as_secs_f64()),
            None => Ok(()),
        }
    }
}

/// How a write failed.
pub(crate) struct Failure {
    pub(crate) error: String,
    pub(crate) at: Instant,
}

#[derive(Debug, Default)]
struct Shared {
    progress: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Progress {
    written: u64,
    longest: Duration,
    /// When the target came back, until the first write after it.
    returned: Option<Instant>,
    recovery: Option<Duration>,
    stop: bool,
    failed: Option<(String, Instant)>,
}

/// Aligned as direct I/O wants it.
#[repr(align(4096))]
pub(crate) struct Block(pub(crate) [u8; BLOCK]);

impl Writer {
    /// Writes to a file below `directory`, each write with fsync, until [`Writer::end`].
    pub(crate) fn start(directory: &Path) -> Writer {
        let path = directory.join("written");
        let file = File::create(&path).expect("a file");
        Writer::write_to(file, path, 0)
    }

    /// Writes to a raw block device, past the page cache.
    pub(crate) fn start_raw(device: &Path) -> Writer {
        Writer::start_raw_from(device, 0)
    }

    /// The same from this byte on.
    pub(crate) fn start_raw_from(device: &Path, first: u64) -> Writer {
        let file = File::options()
            .write(true)
            .custom_flags(libc::O_DIRECT)
            .open(device)
            .expect("the device opens");
        Writer::write_to(file, device.to_owned(), first)
    }

    /// Writes to a raw block device through the page cache, each write with fsync.
    pub(crate) fn start_cached(device: &Path) -> Writer {
        let file = File::options().write(true).open(device);
        Writer::write_to(file.expect("the device opens"), device.to_owned(), 0)
    }

    fn write_to(file: File, path: PathBuf, first: u64) -> Writer {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let result = write_all(file, first, &theirs);
            if let Err(error) = &result {
                theirs.lock().failed = Some((error.to_string(), Instant::now()));
                theirs.changed.notify_all();
            }
            result
        });
        Writer {
            path,
            first,
            shared,
            thread,
        }
    }

    /// How many writes were done.
    pub(crate) fn written(&self) -> u64 {
        self.shared.lock().written
    }

    /// Waits until so many more writes were done.
    pub(crate) fn wait_for(&self, more: u64) {
        let goal = self.written() + more;
        let progress = self.wait_until(|progress| progress.written >= goal);
        assert_eq!(progress.failed, None, "after {} writes", progress.written);
        assert!(
            progress.written >= goal,
            "{} writes of {goal}",
            progress.written
        );
    }

    /// Waits until a write fails.
    pub(crate) fn wait_for_failure(&self) -> Failure {
        let progress = self.wait_until(|_| false);
        let (error, at) = progress.failed.clone().expect("no write has failed");
        Failure { error, at }
    }

    fn wait_until(&self, done: impl Fn(&Progress) -> bool) -> MutexGuard<'_, Progress> {
        let waits = |progress: &mut Progress| !done(progress) && progress.failed.is_none();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(self.shared.lock(), PATIENCE, waits);
        waited.expect("no panic holds the lock").0
    }

    /// Tells the writer to end after the write that it is at, be it the first.
    pub(crate) fn stop(&self) {
        self.shared.lock().stop = true;
    }

    /// Asserts that no write was done or failed since `written` was asked.
    pub(crate) fn still_waits(&self, written: u64) {
        let progress = self.shared.lock();
        assert_eq!((progress.written, &progress.failed), (written, &None));
    }

    /// The target is coming back: the time to recover is counted from here to the next write.
    pub(crate) fn target_returns(&self) {
        self.shared.lock().returned = Some(Instant::now());
    }

    /// Ends the writer; every write must have succeeded, and be on the disk.
    pub(crate) fn finish(self) -> Figures {
        self.stop();
        let result = self.thread.join().expect("no panic");
        let progress = self.shared.lock();
        result.unwrap_or_else(|error| panic!("after {} writes: {error}", progress.written));
        verify_from(&self.path, self.first, progress.written);
        Figures {
            written: progress.written,
            longest: progress.longest,
            recovery: progress.recovery,
        }
    }

    /// The same, and reports the figures. Returns how many writes there were.
    pub(crate) fn end(self, what: &str) -> u64 {
        let figures = self.finish();
        eprintln!("{REPORT}{what}: {figures}");
        figures.written
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().expect("no panic holds the lock")
    }
}

/// Asserts that so many writes are in a file or on a device, past the page cache where it has one.
pub(crate) fn verify(path: &Path, written: u64) {
    verify_from(path, 0, written);
}

/// The same from this byte on.
pub(crate) fn verify_from(path: &Path, first: u64, written: u64) {
    let direct = File::options()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(path);
    // A backing file lies in memory, and has no direct I/O.
    let file = direct.or_else(|_| File::open(path)).expect("it opens");
    let mut block = Box::new(Block([0; BLOCK]));
    for number in 0..written {
        file.read_exact_at(&mut block.0, first + number * BLOCK as u64)
            .expect("a block");
        assert!(block.0 == pattern(number).0, "block {number} is another");
    }
}

fn write_all(file: File, first: u64, shared: &Shared) -> io::Result<()> {
    let mut number = 0;
    loop {
        let began = Instant::now();
        file.write_all_at(&pattern(number).0, first + number * BLOCK as u64)?;
        file.sync_data()?;
        number += 1;
        let mut progress = shared.lock();
        progress.written = number;
        progress.longest = progress.longest.max(began.elapsed());
        if let Some(returned) = progress.returned.take() {
            progress.recovery = progress.recovery.max(Some(returned.elapsed()));
        }
        let is_last = progress.stop;
        drop(progress);
        shared.changed.notify_all();
        if is_last {
            return file.sync_all();
        }
    }
}

/// A process that only writes, for who wants to kill one.
pub(crate) fn write_until_killed(path: &Path) -> ExitCode {
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    let written = file.and_then(|file| write_all(file, 0, &Shared::default()));
    eprintln!("the writer ends: {written:?}");
    ExitCode::FAILURE
}

/// What block `number` holds.
pub(crate) fn pattern(number: u64) -> Box<Block> {
    let word = (number + 1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .to_le_bytes();
    let mut block = Box::new(Block([0; BLOCK]));
    for (byte, value) in block.0.iter_mut().zip(word.iter().copied().cycle()) {
        *byte = value;
    }
    block
}
