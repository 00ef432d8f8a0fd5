//! The process of a pod: it writes all the time, and says what failed and how long it had to wait.
//!
//! Invariant: it never ends by itself, so that a pod that was restarted was restarted by somebody.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The argument that makes this binary wait for ever: a pod's sandbox.
pub(crate) const PAUSE: &str = "--pause";
/// The argument before the file or device to write to.
pub(crate) const WRITE: &str = "--write";
/// The first words of what it says.
pub(crate) const OWNER: &str = "owner";
pub(crate) const FOUND: &str = "found";
pub(crate) const REFUSED: &str = "refused";
pub(crate) const WROTE: &str = "wrote";

const BLOCK: usize = 4096;
/// After so many blocks, 8 MiB, it begins anew.
const BLOCKS: u64 = 2048;
/// Between two writes: a node that has little else to do is what is tested.
const PACE: Duration = Duration::from_millis(200);
/// Between two reports.
const REPORT: Duration = Duration::from_millis(500);
const FOR_EVER: Duration = Duration::from_secs(3600);

#[derive(Debug, Default)]
struct Progress {
    written: u64,
    failed: u64,
    longest: Duration,
    /// When the write that is under way began.
    since: Option<Instant>,
}

/// Waits for ever.
pub(crate) fn pause() -> ExitCode {
    loop {
        thread::sleep(FOR_EVER);
    }
}

/// Says what is there, then writes block after block, each with fdatasync.
pub(crate) fn write(path: &Path) -> ExitCode {
    match prepare(path) {
        Ok(file) => write_on(&file),
        Err(error) => {
            say(&format!("{REFUSED} {error}"));
            pause()
        }
    }
}

fn prepare(path: &Path) -> io::Result<File> {
    let directory = path.parent().map(fs::metadata).transpose()?;
    if let Some(data) = directory {
        let mode = data.mode() & 0o7777;
        say(&format!("{OWNER} {}:{} {mode:o}", data.uid(), data.gid()));
    }
    say(&format!("{FOUND} {}", count(path)?));
    let mut options = File::options();
    options.read(true).write(true).create(true);
    options.open(path)
}

/// How many blocks of another writer are there; a block with anything else in it is an error.
fn count(path: &Path) -> io::Result<u64> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        file => file?,
    };
    let is_device = file.metadata()?.file_type().is_block_device();
    let mut block = [0; BLOCK];
    for number in 0..BLOCKS {
        match file.read_exact_at(&mut block, number * BLOCK as u64) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(number),
            done => done?,
        }
        if is_device && block == [0; BLOCK] {
            return Ok(number);
        }
        let there = u64::from_le_bytes(block[..8].try_into().expect("eight bytes"));
        if there % BLOCKS != number || block != pattern(there) {
            let text = format!("block {number} of {} is not ours", path.display());
            return Err(io::Error::other(text));
        }
    }
    Ok(BLOCKS)
}

fn write_on(file: &File) -> ExitCode {
    let progress = Arc::new(Mutex::new(Progress::default()));
    let theirs = Arc::clone(&progress);
    let lock = |progress: &Mutex<Progress>, change: &dyn Fn(&mut Progress)| {
        change(&mut progress.lock().unwrap_or_else(PoisonError::into_inner));
    };
    thread::spawn(move || {
        loop {
            lock(&theirs, &|progress| say(&report(progress)));
            thread::sleep(REPORT);
        }
    });
    for number in 0_u64.. {
        let began = Instant::now();
        lock(&progress, &|progress| progress.since = Some(began));
        let at = number % BLOCKS * BLOCK as u64;
        let done = file.write_all_at(&pattern(number), at);
        let done = done.and_then(|()| file.sync_data());
        if let Err(error) = &done {
            say(&format!("error {error}"));
        }
        lock(&progress, &|progress| {
            progress.since = None;
            progress.longest = progress.longest.max(began.elapsed());
            progress.written += u64::from(done.is_ok());
            progress.failed += u64::from(done.is_err());
        });
        thread::sleep(PACE);
    }
    pause()
}

fn report(progress: &Progress) -> String {
    let waits = progress
        .since
        .map_or(Duration::ZERO, |since| since.elapsed());
    let Progress {
        written, failed, ..
    } = progress;
    let longest = progress.longest.max(waits).as_millis();
    let waits = waits.as_millis();
    format!("{WROTE} {written} failed {failed} longest {longest} waits {waits}")
}

fn pattern(number: u64) -> [u8; BLOCK] {
    let mut block = [number.to_le_bytes()[0] ^ 0x5a; BLOCK];
    block[..8].copy_from_slice(&number.to_le_bytes());
    block
}

fn say(text: &str) {
    // The log is read by the host; who cannot write to it has nobody to tell.
    let _said = writeln!(io::stdout(), "{text}");
}
