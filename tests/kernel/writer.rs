//! A process of a pod that writes all the time, and notes what fails and how long it had to wait.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::host::REPORT;

/// Bytes of one write.
const BLOCK: usize = 4096;

/// A writer at work.
pub(crate) struct Writer {
    path: PathBuf,
    shared: Arc<Shared>,
    thread: JoinHandle<io::Result<()>>,
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
    stop: bool,
    failed: Option<String>,
}

impl Writer {
    /// Writes to a file below `directory` until [`Writer::end`].
    pub(crate) fn start(directory: &Path) -> Writer {
        let path = directory.join("written");
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let file = File::create(&path).expect("a file");
        let thread = thread::spawn(move || {
            let result = write_all(file, &theirs);
            if let Err(error) = &result {
                theirs.lock().failed = Some(error.to_string());
                theirs.changed.notify_all();
            }
            result
        });
        Writer {
            path,
            shared,
            thread,
        }
    }

    /// Waits until so many more writes were done.
    pub(crate) fn wait_for(&self, more: u64) {
        let progress = self.shared.lock();
        let goal = progress.written + more;
        let (progress, waited) = self
            .shared
            .changed
            .wait_timeout_while(progress, Duration::from_secs(150), |progress| {
                progress.written < goal && progress.failed.is_none()
            })
            .expect("no panic holds the lock");
        assert_eq!(progress.failed, None, "after {} writes", progress.written);
        assert!(!waited.timed_out(), "{} writes of {goal}", progress.written);
    }

    /// Ends the writer; every write must have succeeded, and be in the file.
    pub(crate) fn end(self, what: &str) {
        self.shared.lock().stop = true;
        let result = self.thread.join().expect("no panic");
        let progress = self.shared.lock();
        result.unwrap_or_else(|error| panic!("after {} writes: {error}", progress.written));
        let file = File::open(&self.path).expect("the file");
        let mut block = vec![0; BLOCK];
        for number in 0..progress.written {
            file.read_exact_at(&mut block, number * BLOCK as u64)
                .expect("a block");
            assert_eq!(block, pattern(number), "block {number}");
        }
        eprintln!(
            "{REPORT}{what}: {} writes, 0 failed, longest {:.1} s",
            progress.written,
            progress.longest.as_secs_f64()
        );
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().expect("no panic holds the lock")
    }
}

fn write_all(file: File, shared: &Shared) -> io::Result<()> {
    let mut number = 0;
    while !shared.lock().stop {
        let began = Instant::now();
        file.write_all_at(&pattern(number), number * BLOCK as u64)?;
        file.sync_data()?;
        number += 1;
        let mut progress = shared.lock();
        progress.written = number;
        progress.longest = progress.longest.max(began.elapsed());
        drop(progress);
        shared.changed.notify_all();
    }
    file.sync_all()
}

/// What block `number` holds.
fn pattern(number: u64) -> Vec<u8> {
    let word = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    word.iter().copied().cycle().take(BLOCK).collect()
}
