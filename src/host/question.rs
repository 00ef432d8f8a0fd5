//! Asking mounted filesystems whether they have shut down: statx(2) of their root.
//!
//! An xfs that has shut down answers EIO there (`xfs_vn_getattr` in fs/xfs/xfs_iops.c), from memory, and shows it nowhere
//! else. Whoever asks must know that its disk is reached; the disk may go in the very next moment all the same, so
//! a question is put in a thread of its own.
//!
//! Invariants: nobody waits longer than [`PATIENCE`]; a question without an answer says nothing; a place is not asked
//! again before it has answered.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use rustix::io::Errno;

/// How long all answers together are waited for. Each is given from memory, within microseconds.
const PATIENCE: Duration = Duration::from_millis(500);
/// What the thread of one round needs.
const STACK: usize = 128 * 1024;

/// Asks, and remembers who has not answered.
#[derive(Debug, Default)]
pub struct Questions {
    unanswered: Arc<Mutex<BTreeSet<PathBuf>>>,
}

/// The questions that are not put yet.
type Rest = Arc<Mutex<VecDeque<PathBuf>>>;

impl Questions {
    /// Which of these mounts answer that their filesystem has shut down. One that does not answer in time, or has not
    /// answered an earlier question, is not among them.
    pub fn find_shut_down(&self, mounted: Vec<PathBuf>) -> Vec<PathBuf> {
        self.ask_all(mounted, has_shut_down, PATIENCE)
    }

    fn ask_all(
        &self,
        mut mounted: Vec<PathBuf>,
        ask: impl Fn(&Path) -> bool + Send + 'static,
        patience: Duration,
    ) -> Vec<PathBuf> {
        mounted.retain(|path| !lock(&self.unanswered).contains(path));
        if mounted.is_empty() {
            return Vec::new();
        }
        let rest: Rest = Arc::new(Mutex::new(mounted.into()));
        let (shut_down, answers) = channel();
        let (theirs, unanswered) = (Arc::clone(&rest), Arc::clone(&self.unanswered));
        let round = move || put(&theirs, &unanswered, &ask, &shut_down);
        let builder = thread::Builder::new().name("question".to_owned());
        if let Err(error) = builder.stack_size(STACK).spawn(round) {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::warn!(error, "no filesystem is asked whether it has shut down");
        }
        let found = collect(&answers, Instant::now() + patience);
        // What follows a question that is not answered is asked by the next round.
        lock(&rest).clear();
        found
    }
}

/// One round: each question after the other.
fn put(
    rest: &Mutex<VecDeque<PathBuf>>,
    unanswered: &Mutex<BTreeSet<PathBuf>>,
    ask: impl Fn(&Path) -> bool,
    shut_down: &Sender<PathBuf>,
) {
    loop {
        let Some(path) = lock(rest).pop_front() else {
            return;
        };
        lock(unanswered).insert(path.clone());
        let has_shut_down = ask(&path);
        lock(unanswered).remove(&path);
        if has_shut_down && shut_down.send(path).is_err() {
            return;
        }
    }
}

/// What comes until the round is at its end, or the deadline has passed.
fn collect(answers: &Receiver<PathBuf>, deadline: Instant) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let left = || deadline.saturating_duration_since(Instant::now());
    while let Ok(path) = answers.recv_timeout(left()) {
        found.push(path);
    }
    found
}

fn has_shut_down(path: &Path) -> bool {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT | AtFlags::SYMLINK_NOFOLLOW;
    statx(CWD, path, flags, StatxFlags::TYPE).err() == Some(Errno::IO)
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is one call that leaves the collection whole.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than any machine takes to answer.
    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(50);

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn those_that_say_that_they_have_shut_down_are_found() {
        let is_dead = |path: &Path| path != Path::new("/b");
        let found = Questions::default().ask_all(paths(&["/a", "/b", "/c"]), is_dead, LONG);
        assert_eq!(found, paths(&["/a", "/c"]));
    }

    #[test]
    fn a_question_without_an_answer_holds_up_nobody_and_is_not_put_again() {
        let questions = Questions::default();
        let (release, released) = channel::<()>();
        let waits = move |path: &Path| {
            assert_eq!(path, Path::new("/silent"), "what follows is left");
            released.recv().is_err()
        };
        let asked = paths(&["/silent", "/dead"]);
        assert_eq!(questions.ask_all(asked.clone(), waits, SHORT), paths(&[]));
        let answers = |path: &Path| {
            assert_ne!(path, Path::new("/silent"));
            true
        };
        let found = questions.ask_all(asked.clone(), answers, LONG);
        assert_eq!(found, paths(&["/dead"]));
        drop(release);
        let deadline = Instant::now() + LONG;
        while !lock(&questions.unanswered).is_empty() {
            assert!(Instant::now() < deadline, "it has answered");
            thread::yield_now();
        }
        assert_eq!(questions.ask_all(asked.clone(), |_| true, LONG), asked);
    }

    #[test]
    fn a_directory_that_is_well_or_missing_has_not_shut_down() {
        let directory = tempfile::tempdir().expect("a directory");
        let asked = vec![directory.path().to_owned(), directory.path().join("none")];
        assert_eq!(Questions::default().find_shut_down(asked), paths(&[]));
    }
}
