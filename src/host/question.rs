//! Questions that may not be answered: whether mounted filesystems have shut down, by statx(2) of their root, which UUID an
//! xfs has, and whether the nodes of disks can be opened.
//!
//! An xfs that has shut down answers EIO there (`xfs_vn_getattr` in fs/xfs/xfs_iops.c), from memory, and shows it nowhere
//! else. Whoever asks must know that its disk is reached; the disk may go in the very next moment all the same, so
//! a question is put in a thread of its own.
//!
//! Invariants: nobody waits longer than `PATIENCE`; a question without an answer says nothing; a place is not asked
//! again before it has answered.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nvme_sysfs::Uuid;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, open, statx};
use rustix::io::Errno;

use super::filesystem::read_xfs_uuid;

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
        let answers = self.ask_all(mounted, has_shut_down, PATIENCE);
        let shut_down = answers.into_iter().filter(|(_, shut_down)| *shut_down);
        shut_down.map(|(path, _)| path).collect()
    }

    /// At which of these places an xfs with this UUID is mounted, as far as they answer in time.
    pub fn find_xfs(&self, mounted: Vec<PathBuf>, uuid: Uuid) -> Option<PathBuf> {
        let is_it = move |path: &Path| read_xfs_uuid(path) == Some(uuid);
        let answers = self.ask_all(mounted, is_it, PATIENCE);
        let mut found = answers.into_iter().filter(|(_, is_it)| *is_it);
        found.next().map(|(path, _)| path)
    }

    /// Whether each of these device nodes lets itself be opened, or refuses to. One whose disk is still being read by
    /// the kernel, for partitions, does neither until that has ended.
    pub fn all_answer_an_open(&self, nodes: Vec<PathBuf>) -> bool {
        let asked = nodes.len();
        self.ask_all(nodes, opens, PATIENCE).len() == asked
    }

    fn ask_all(
        &self,
        mut mounted: Vec<PathBuf>,
        ask: impl Fn(&Path) -> bool + Send + 'static,
        patience: Duration,
    ) -> Vec<(PathBuf, bool)> {
        mounted.retain(|path| !lock(&self.unanswered).contains(path));
        if mounted.is_empty() {
            return Vec::new();
        }
        let rest: Rest = Arc::new(Mutex::new(mounted.into()));
        let (answer, answers) = channel();
        let (theirs, unanswered) = (Arc::clone(&rest), Arc::clone(&self.unanswered));
        let round = move || put(&theirs, &unanswered, &ask, &answer);
        let builder = thread::Builder::new().name("question".to_owned());
        if let Err(error) = builder.stack_size(STACK).spawn(round) {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::warn!(error, "a question is not put");
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
    answered: &Sender<(PathBuf, bool)>,
) {
    loop {
        let Some(path) = lock(rest).pop_front() else {
            return;
        };
        lock(unanswered).insert(path.clone());
        let answer = ask(&path);
        lock(unanswered).remove(&path);
        if answered.send((path, answer)).is_err() {
            return;
        }
    }
}

/// What comes until the round is at its end, or the deadline has passed.
fn collect(answers: &Receiver<(PathBuf, bool)>, deadline: Instant) -> Vec<(PathBuf, bool)> {
    let mut found = Vec::new();
    let left = || deadline.saturating_duration_since(Instant::now());
    while let Ok(answer) = answers.recv_timeout(left()) {
        found.push(answer);
    }
    found
}

fn has_shut_down(path: &Path) -> bool {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT | AtFlags::SYMLINK_NOFOLLOW;
    statx(CWD, path, flags, StatxFlags::TYPE).err() == Some(Errno::IO)
}

/// Closed again at once: nothing is read.
fn opens(path: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    open(path, flags, Mode::empty()).is_ok()
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

    fn answers(pairs: &[(&str, bool)]) -> Vec<(PathBuf, bool)> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, yes)| (PathBuf::from(name), *yes))
            .collect()
    }

    #[test]
    fn everybody_is_asked() {
        let is_dead = |path: &Path| path != Path::new("/b");
        let found = Questions::default().ask_all(paths(&["/a", "/b", "/c"]), is_dead, LONG);
        let wanted = [("/a", true), ("/b", false), ("/c", true)];
        assert_eq!(found, answers(&wanted));
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
        assert_eq!(questions.ask_all(asked.clone(), waits, SHORT), answers(&[]));
        let answer = |path: &Path| {
            assert_ne!(path, Path::new("/silent"));
            true
        };
        let found = questions.ask_all(asked.clone(), answer, LONG);
        assert_eq!(found, answers(&[("/dead", true)]));
        drop(release);
        let deadline = Instant::now() + LONG;
        while !lock(&questions.unanswered).is_empty() {
            assert!(Instant::now() < deadline, "it has answered");
            thread::yield_now();
        }
        assert_eq!(questions.ask_all(asked, |_| true, LONG).len(), 2);
    }

    #[test]
    fn a_directory_that_is_well_or_missing_has_not_shut_down() {
        let directory = tempfile::tempdir().expect("a directory");
        let asked = vec![directory.path().to_owned(), directory.path().join("none")];
        let questions = Questions::default();
        assert_eq!(questions.find_shut_down(asked.clone()), paths(&[]));
        assert!(questions.all_answer_an_open(asked), "by an error too");
    }
}
