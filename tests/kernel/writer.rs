//! A process of a pod that writes all the time, and notes what fails and how long it had to wait.

mod mapping;

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use self::mapping::Mapping;
use crate::host::REPORT;

/// Bytes of one write.
pub(crate) const BLOCK: usize = 4096;
/// The first argument that makes this binary write to a path until it is killed.
pub(crate) const WRITE: &str = "--write";
/// The first argument that makes this binary write to a mapping of a path, from a byte on, until its input ends.
pub(crate) const WRITE_MAPPED: &str = "--write-mapped";
/// Longer than any outage of a case, and what it takes to recover on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(150);

/// What a writer writes where.
#[derive(Debug, Clone, Copy)]
struct Span {
    /// Where the first block lies, in bytes.
    first: u64,
    /// After so many blocks it begins anew.
    blocks: u64,
    /// The number of the first block's pattern.
    pattern: u64,
}

impl Span {
    /// One block after the other from this byte on.
    const fn endless(first: u64) -> Span {
        Span {
            first,
            blocks: u64::MAX,
            pattern: 0,
        }
    }

    /// The same few blocks again and again; no writer of another `kind` has the same patterns.
    const fn few(first: u64, kind: u64) -> Span {
        Span {
            first,
            blocks: FEW,
            pattern: kind << 32,
        }
    }

    /// The numbers of so many writes that no later one has written over.
    fn last(&self, written: u64) -> Range<u64> {
        written.saturating_sub(self.blocks)..written
    }

    fn offset(&self, number: u64) -> u64 {
        self.first + number % self.blocks * BLOCK as u64
    }

    fn pattern(&self, number: u64) -> Box<Block> {
        pattern(self.pattern + number)
    }
}

/// Blocks that a writer has which writes the same ones again: 1 MiB.
const FEW: u64 = 256;

/// Between two writes, as pods write: one that never rests would take all the time that an emulated machine has.
const PACE: Duration = Duration::from_millis(20);
/// No filesystem puts data at a finer grain.
const GRAIN: usize = 1024;

/// How what is written leaves the page cache.
#[derive(Debug, Clone, Copy)]
enum How {
    /// By fdatasync after each write, or past the cache.
    Synced,
    /// As the kernel likes, and by fsync at the end.
    Unsynced,
}

/// A writer at work.
pub(crate) struct Writer {
    path: PathBuf,
    span: Span,
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
        Writer::write_to(file, path, Span::endless(0), How::Synced)
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
        Writer::write_to(file, device.to_owned(), Span::endless(first), How::Synced)
    }

    /// Writes to a raw block device through the page cache, each write with fsync.
    pub(crate) fn start_cached(device: &Path) -> Writer {
        let file = File::options().write(true).open(device);
        let file = file.expect("the device opens");
        Writer::write_to(file, device.to_owned(), Span::endless(0), How::Synced)
    }

    /// Writes to a mapping of a file or device, from this byte on. By a process of its own: where a store into the mapping
    /// waits for the target, so does all else that changes the memory of its process.
    fn start_mapped(path: &Path, first: u64) -> Writer {
        drop(open_cached(path, first));
        let mut command = Command::new("/init");
        command.arg(WRITE_MAPPED).arg(path).arg(first.to_string());
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let process = piped.spawn().expect("the writer starts");
        let path = path.to_owned();
        Writer::start_thread(path, Span::few(first, 1), |shared| follow(process, shared))
    }

    /// Writes each write past the page cache of a file, or through that of a device and with fsync: what
    /// [`Writer::start`] and [`Writer::start_raw`] do not.
    fn start_otherwise(path: &Path, first: u64) -> Writer {
        let cached = open_cached(path, first);
        let is_file = cached.metadata().expect("its kind").is_file();
        let file = match is_file {
            true => {
                let mut options = File::options();
                let direct = options.write(true).custom_flags(libc::O_DIRECT);
                direct.open(path).expect("it opens")
            }
            false => cached,
        };
        Writer::write_to(file, path.to_owned(), Span::few(first, 3), How::Synced)
    }

    /// Writes into the page cache of a file or device, from this byte on, and syncs at the end only.
    fn start_unsynced(path: &Path, first: u64) -> Writer {
        let file = open_cached(path, first);
        Writer::write_to(file, path.to_owned(), Span::few(first, 2), How::Unsynced)
    }

    fn write_to(file: File, path: PathBuf, span: Span, how: How) -> Writer {
        Writer::start_thread(path, span, move |shared| write_all(file, span, how, shared))
    }

    fn start_thread(
        path: PathBuf,
        span: Span,
        write: impl FnOnce(&Shared) -> io::Result<()> + Send + 'static,
    ) -> Writer {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let result = write(&theirs);
            if let Err(error) = &result {
                theirs.lock().failed = Some((error.to_string(), Instant::now()));
                theirs.changed.notify_all();
            }
            result
        });
        Writer {
            path,
            span,
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
        verify_span(&self.path, self.span, progress.written);
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

/// A writer of each kind on one volume.
pub(crate) struct Writers {
    /// Each write with fsync on a filesystem, and past the page cache on a device.
    first: Writer,
    /// To a mapping, without syncing, and the other way round than the first.
    others: [Writer; 3],
}

/// What writers wrote, each so many times.
pub(crate) struct Written(Vec<(Span, u64)>);

impl Written {
    /// Of one that began at the first block of a device, or is the only one of its filesystem.
    pub(crate) fn by_one(written: u64) -> Written {
        Written(vec![(Span::endless(0), written)])
    }

    /// How many writes the first one did.
    pub(crate) fn count(&self) -> u64 {
        self.0.first().map_or(0, |(_, written)| *written)
    }

    /// Asserts that all of it is on a device, or in its backing file.
    pub(crate) fn verify(&self, path: &Path) {
        for (span, written) in &self.0 {
            verify_span(path, *span, *written);
        }
    }

    /// Asserts that all of it is in the backing file of a filesystem, wherever that has put it.
    pub(crate) fn verify_image(&self, image: &Path) {
        for (span, written) in &self.0 {
            let first = span.pattern + span.last(*written).start;
            let numbers = first..span.pattern + written;
            let all = numbers.end - numbers.start;
            assert_eq!(
                count_in_image(image, numbers),
                all,
                "whole blocks of {span:?}"
            );
        }
    }
}

impl Writers {
    /// On files below a directory.
    pub(crate) fn start(directory: &Path) -> Writers {
        let others = [
            Writer::start_mapped(&directory.join("mapped"), 0),
            Writer::start_unsynced(&directory.join("unsynced"), 0),
            Writer::start_otherwise(&directory.join("direct"), 0),
        ];
        let first = Writer::start(directory);
        Writers { first, others }
    }

    /// On a raw block device of 64 MiB, each at a place of its own.
    pub(crate) fn start_raw(device: &Path) -> Writers {
        let others = [
            Writer::start_mapped(device, 48 << 20),
            Writer::start_unsynced(device, 56 << 20),
            Writer::start_otherwise(device, 60 << 20),
        ];
        let first = Writer::start_raw(device);
        Writers { first, others }
    }

    /// Waits until each has done so many more writes.
    pub(crate) fn wait_for(&self, more: u64) {
        self.first.wait_for(more);
        self.others.iter().for_each(|writer| writer.wait_for(more));
    }

    /// How many writes the first one has done.
    pub(crate) fn written(&self) -> u64 {
        self.first.written()
    }

    /// Asserts that the first one has done no write, nor failed, since `written` was asked.
    pub(crate) fn still_waits(&self, written: u64) {
        self.first.still_waits(written);
    }

    /// The target is coming back.
    pub(crate) fn target_returns(&self) {
        self.first.target_returns();
    }

    /// Ends all; every write of each must have succeeded, and be on the disk. Reports the figures of the first one.
    pub(crate) fn end(self, what: &str) -> Written {
        let others = self
            .others
            .map(|writer| (writer.span, writer.finish().written));
        let mut all = Written::by_one(self.first.end(what));
        all.0.extend(others);
        all
    }
}

impl Shared {
    /// One more write is done, the `number`th; returns whether it shall be the last.
    fn count(&self, number: u64, took: Duration) -> bool {
        let mut progress = self.lock();
        progress.written = number;
        progress.longest = progress.longest.max(took);
        if let Some(returned) = progress.returned.take() {
            progress.recovery = progress.recovery.max(Some(returned.elapsed()));
        }
        let is_last = progress.stop;
        drop(progress);
        self.changed.notify_all();
        is_last
    }

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
    verify_span(path, Span::endless(first), written);
}

fn verify_span(path: &Path, span: Span, written: u64) {
    let direct = File::options()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(path);
    // A backing file lies in memory, and has no direct I/O.
    let file = direct.or_else(|_| File::open(path)).expect("it opens");
    let mut block = Box::new(Block([0; BLOCK]));
    // What was written last is what is there.
    for number in span.last(written) {
        file.read_exact_at(&mut block.0, span.offset(number))
            .expect("a block");
        assert!(
            block.0 == span.pattern(number).0,
            "block {number} of {} is another",
            path.display()
        );
    }
}

/// How many of the blocks with these numbers are whole in a backing file, at whatever place.
pub(crate) fn count_in_image(image: &Path, numbers: Range<u64>) -> u64 {
    let patterns = numbers.map(|number| (pattern(number).0[..GRAIN].to_vec(), number));
    let by_word: HashMap<[u8; 8], (Vec<u8>, u64)> = patterns
        .map(|(grain, number)| (word(&grain), (grain, number)))
        .collect();
    let mut found = HashMap::<u64, usize>::new();
    let mut file = File::open(image).expect("the backing file");
    let mut grain = [0; GRAIN];
    while let Ok(()) = file.read_exact(&mut grain) {
        let word = word(&grain);
        // Most of an image is empty, and no pattern is.
        if word == [0; 8] {
            continue;
        }
        let known = by_word.get(&word);
        if let Some((_, number)) = known.filter(|(pattern, _)| **pattern == grain) {
            *found.entry(*number).or_default() += 1;
        }
    }
    let whole = found.values().filter(|grains| **grains >= BLOCK / GRAIN);
    whole.count() as u64
}

fn word(grain: &[u8]) -> [u8; 8] {
    *grain.first_chunk().expect("eight bytes")
}

/// A file or device for writes through the page cache; a file gets the few blocks at once.
fn open_cached(path: &Path, first: u64) -> File {
    let mut options = File::options();
    let file = options.read(true).write(true).create(true).truncate(false);
    let file = file.open(path).expect("it opens");
    if file.metadata().expect("its kind").is_file() {
        let length = first + FEW * BLOCK as u64;
        file.set_len(length).expect("room for all blocks");
    }
    file
}

fn write_all(file: File, span: Span, how: How, shared: &Shared) -> io::Result<()> {
    let mut number = 0;
    loop {
        let began = Instant::now();
        file.write_all_at(&span.pattern(number).0, span.offset(number))?;
        if matches!(how, How::Synced) {
            file.sync_data()?;
        }
        number += 1;
        if shared.count(number, began.elapsed()) {
            return file.sync_all();
        }
        thread::sleep(PACE);
    }
}

/// Counts what a process says that it has written, and ends it when it is asked to.
fn follow(mut process: Child, shared: &Shared) -> io::Result<()> {
    let mut input = process.stdin.take();
    let output = process.stdout.take().expect("it has one");
    let mut number = 0;
    let mut began = Instant::now();
    for line in BufReader::new(output).lines() {
        line?;
        number += 1;
        if shared.count(number, began.elapsed()) {
            input = None;
        }
        began = Instant::now();
    }
    drop(input);
    match process.wait()? {
        status if status.success() => Ok(()),
        status => Err(io::Error::other(format!("the mapping: {status}"))),
    }
}

/// The process of [`Writer::start_mapped`]: a line after each write.
pub(crate) fn write_mapped(path: &Path, first: &str) -> ExitCode {
    let ended = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&ended);
    thread::spawn(move || {
        let read = io::copy(&mut io::stdin(), &mut io::sink());
        read.expect("nothing is sent");
        theirs.store(true, Ordering::Relaxed);
    });
    match write_to_mapping(path, first, &ended) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the writer to a mapping: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write_to_mapping(path: &Path, first: &str, ended: &AtomicBool) -> io::Result<()> {
    let first = first.parse().map_err(io::Error::other)?;
    let blocks = usize::try_from(FEW).map_err(io::Error::other)?;
    let file = open_cached(path, first);
    let span = Span::few(first, 1);
    let mut mapping = Mapping::of(&file, first, blocks)?;
    for (number, index) in (0..).zip((0..blocks).cycle()) {
        mapping.put(index, &span.pattern(number))?;
        let is_last = ended.load(Ordering::Relaxed);
        writeln!(io::stdout(), "{number}")?;
        if is_last {
            break;
        }
        thread::sleep(PACE);
    }
    file.sync_all()
}

/// A process that only writes, for who wants to kill one.
pub(crate) fn write_until_killed(path: &Path) -> ExitCode {
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    let written =
        file.and_then(|file| write_all(file, Span::endless(0), How::Synced, &Shared::default()));
    eprintln!("the writer ends: {written:?}");
    ExitCode::FAILURE
}

/// What block `number` holds.
pub(crate) fn pattern(number: u64) -> Box<Block> {
    let word = (number + 1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .to_le_bytes();
    let mut block = Box::new(Block([0; BLOCK]));
    // Not byte by byte: this runs for each write, in a program that is not optimized, on an emulated processor.
    block.0.copy_from_slice(&word.repeat(BLOCK / word.len()));
    block
}
