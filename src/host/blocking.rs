//! The one bridge between asynchronous code and everything that blocks.
//!
//! A job runs on one of a fixed number of threads. Whoever waits for it waits until its deadline and
//! no longer; a job that has begun goes on even so, and keeps what it owns (its volume's lock, above
//! all) until it has ended, because nothing can take back a system call that waits for a dead
//! device. A job that has not begun at its deadline never begins. One that can stop halfway asks its [`Caller`].
//!
//! Threads of our own, not tokio's blocking pool: theirs are shared with whatever else blocks, and
//! their number is no limit to rely on.

use std::any::Any;
use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Threads that run what blocks.
#[derive(Debug, Clone)]
pub struct Blocking {
    queue: Sender<Job>,
}

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Blocked {
    /// The deadline passed while it was running; it still is.
    #[error("{name} is still running after {deadline:?}")]
    StillRunning {
        /// The job.
        name: &'static str,
        /// How long it was waited for.
        deadline: Duration,
    },
    /// The deadline passed before a thread was free; it will never run.
    #[error("{name} found no free thread within {deadline:?} and was not begun")]
    NotBegun {
        /// The job.
        name: &'static str,
        /// How long it was waited for.
        deadline: Duration,
    },
    /// It panicked.
    #[error("{name} panicked: {message}")]
    Panicked {
        /// The job.
        name: &'static str,
        /// What it said.
        message: String,
    },
}

struct Job {
    name: &'static str,
    phase: Arc<Phase>,
    run: Box<dyn FnOnce() + Send>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("name", &self.name).finish()
    }
}

/// What a job and whoever waits for it agree on: who is first wins.
#[derive(Debug, Default)]
struct Phase(AtomicU8);

/// Whoever waits for a job, as the job sees it.
#[derive(Debug, Clone, Default)]
pub struct Caller(Arc<AtomicBool>);

impl Caller {
    /// One that waits for as long as it takes.
    #[must_use]
    pub fn patient() -> Caller {
        Caller::default()
    }

    /// Whether nobody waits any more: the deadline has passed, or the call was given up.
    #[must_use]
    pub fn has_gone(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Phase {
    const WAITING: u8 = 0;
    const BEGUN: u8 = 1;
    const GIVEN_UP: u8 = 2;

    /// Whether the phase was still waiting, and is `next` now.
    fn leave_waiting(&self, next: u8) -> bool {
        let order = Ordering::AcqRel;
        self.0
            .compare_exchange(Self::WAITING, next, order, Ordering::Acquire)
            .is_ok()
    }
}

/// Gives a job up when its caller goes away before it has begun, and tells it when it has.
struct Waiting(Arc<Phase>, Caller);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.leave_waiting(Phase::GIVEN_UP);
        self.1.0.store(true, Ordering::Release);
    }
}

impl Blocking {
    /// Starts the threads, which are called `name` and a number. They end when the last clone of this is gone and no job is left.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn new(name: &str, threads: NonZeroUsize) -> io::Result<Blocking> {
        let (queue, jobs) = mpsc::channel();
        let jobs = Arc::new(Mutex::new(jobs));
        for number in 0..threads.get() {
            let jobs = Arc::clone(&jobs);
            thread::Builder::new()
                .name(format!("{name}-{number}"))
                .spawn(move || work(&jobs))?;
        }
        Ok(Blocking { queue })
    }

    /// Runs `job` on one of the threads and waits for it for at most `deadline`.
    ///
    /// When the returned future is dropped, the same holds as at the deadline.
    ///
    /// # Errors
    /// [`Blocked`].
    pub async fn run<T, F>(
        &self,
        deadline: Duration,
        name: &'static str,
        job: F,
    ) -> Result<T, Blocked>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.run_for(deadline, name, |_: &Caller| job()).await
    }

    /// The same for a job that asks whether anybody still waits for it.
    ///
    /// # Errors
    /// [`Blocked`].
    pub async fn run_for<T, F>(
        &self,
        deadline: Duration,
        name: &'static str,
        job: F,
    ) -> Result<T, Blocked>
    where
        T: Send + 'static,
        F: FnOnce(&Caller) -> T + Send + 'static,
    {
        let (answer, result) = oneshot::channel();
        let (phase, caller) = (Arc::new(Phase::default()), Caller::default());
        let waiting = Waiting(Arc::clone(&phase), caller.clone());
        let run = Box::new(move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| job(&caller)));
            if answer.send(outcome).is_err() {
                tracing::warn!(
                    job = name,
                    "a job ended after nobody waited for it any more"
                );
            }
        });
        let job = Job { name, phase, run };
        self.queue
            .send(job)
            .expect("the threads hold the queue for as long as there is a sender");
        match timeout(deadline, result).await {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(panic))) => Err(Blocked::Panicked {
                name,
                message: message_of(&*panic),
            }),
            Ok(Err(_)) => unreachable!("a job that was not given up always answers"),
            Err(_) if waiting.0.leave_waiting(Phase::GIVEN_UP) => {
                Err(Blocked::NotBegun { name, deadline })
            }
            Err(_) => Err(Blocked::StillRunning { name, deadline }),
        }
    }
}

/// One thread's life.
fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        // The lock is held while waiting: the other threads then wait for the lock instead.
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        if job.phase.leave_waiting(Phase::BEGUN) {
            (job.run)();
        } else {
            tracing::debug!(job = job.name, "a job was given up before it began");
        }
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn pool(threads: usize) -> Blocking {
        Blocking::new("test", NonZeroUsize::new(threads).expect("not zero")).expect("threads")
    }

    #[tokio::test]
    async fn a_job_gives_its_result() {
        let sum = pool(1).run(LONG, "add", || 1 + 2).await;
        assert_eq!(sum, Ok(3));
    }

    #[tokio::test]
    async fn a_job_past_its_deadline_goes_on_and_keeps_what_it_owns() {
        let pool = pool(1);
        let owned = Arc::new(());
        let kept = Arc::downgrade(&owned);
        let (release, released) = mpsc::channel::<()>();
        let (ended, end) = oneshot::channel();
        let job = move || {
            released.recv().expect("the test releases it");
            drop(owned);
            ended.send(()).expect("the test waits");
        };
        let deadline = Duration::from_millis(200);
        let result = pool.run(deadline, "mount", job).await;
        let name = "mount";
        assert_eq!(result, Err(Blocked::StillRunning { name, deadline }));
        assert!(kept.upgrade().is_some(), "it owns what it owned");
        release.send(()).expect("it waits");
        end.await.expect("it goes on to its end");
        assert!(kept.upgrade().is_none());
    }

    #[tokio::test]
    async fn a_job_sees_that_its_caller_has_gone() {
        let pool = pool(1);
        let (release, released) = mpsc::channel::<()>();
        let (told, seen) = oneshot::channel();
        let job = move |caller: &Caller| {
            let before = caller.has_gone();
            released.recv().expect("the test releases it");
            told.send((before, caller.has_gone()))
                .expect("the test waits");
        };
        let late = pool.run_for(Duration::from_millis(200), "late", job).await;
        late.expect_err("it waits to be released");
        release.send(()).expect("it waits");
        assert_eq!(seen.await, Ok((false, true)));
        assert!(!Caller::patient().has_gone());
    }

    #[tokio::test]
    async fn a_job_that_found_no_thread_in_time_never_begins() {
        let pool = pool(1);
        let (release, released) = mpsc::channel::<()>();
        let first = pool.clone();
        let busy = move || released.recv().expect("the test releases it");
        let (begun, begin) = oneshot::channel();
        let busy = tokio::spawn(async move {
            let job = move || {
                begun.send(()).expect("the test waits");
                busy();
            };
            first.run(LONG, "busy", job).await
        });
        begin.await.expect("the thread is taken");
        let deadline = Duration::from_millis(1);
        let result = pool.run(deadline, "late", || panic!("it began")).await;
        let name = "late";
        assert_eq!(result, Err::<(), _>(Blocked::NotBegun { name, deadline }));
        release.send(()).expect("it waits");
        busy.await.expect("no panic").expect("it ends");
        assert_eq!(pool.run(LONG, "next", || 5).await, Ok(5));
    }

    #[tokio::test]
    async fn a_job_whose_caller_has_gone_before_it_began_never_begins() {
        let pool = pool(1);
        let (release, released) = mpsc::channel::<()>();
        let blocker = pool.clone();
        let (begun, begin) = oneshot::channel();
        let busy = tokio::spawn(async move {
            let job = move || {
                begun.send(()).expect("the test waits");
                released.recv().expect("the test releases it");
            };
            blocker.run(LONG, "busy", job).await
        });
        begin.await.expect("the thread is taken");
        let (told, tell) = mpsc::channel();
        let caller = pool.clone();
        let dropped = tokio::spawn(async move {
            let job = move || told.send(()).expect("the test waits");
            caller.run(LONG, "dropped", job).await
        });
        tokio::task::yield_now().await;
        dropped.abort();
        assert!(dropped.await.expect_err("it was dropped").is_cancelled());
        release.send(()).expect("it waits");
        busy.await.expect("no panic").expect("it ends");
        pool.run(LONG, "next", || ()).await.expect("it ends");
        tell.try_recv().expect_err("it never began");
    }

    #[tokio::test]
    async fn a_panic_is_told_and_the_thread_lives_on() {
        let pool = pool(1);
        let result = pool
            .run(LONG, "broken", || -> u8 { panic!("on purpose") })
            .await;
        assert_eq!(
            result.expect_err("a panic").to_string(),
            "broken panicked: on purpose"
        );
        assert_eq!(pool.run(LONG, "next", || 7).await, Ok(7));
    }

    #[tokio::test]
    async fn as_many_jobs_run_at_once_as_there_are_threads() {
        let pool = pool(2);
        let barrier = Arc::new(std::sync::Barrier::new(2));
        let wait = |barrier: &Arc<std::sync::Barrier>| {
            let barrier = Arc::clone(barrier);
            move || {
                barrier.wait();
            }
        };
        let (first, second) = tokio::join!(
            pool.run(LONG, "first", wait(&barrier)),
            pool.run(LONG, "second", wait(&barrier)),
        );
        assert_eq!((first, second), (Ok(()), Ok(())));
    }
}
