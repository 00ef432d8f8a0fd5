//! Work that a person can interrupt, although it waits inside the kernel.
//!
//! A write to `/dev/nvme-fabrics` first waits for the TCP connection, which a signal ends at once
//! and without a trace, and then for answers of the target, which nothing can end (fabrics.c,
//! tcp.c: the admin commands wait uninterruptibly). So the work runs in a thread of its own while
//! this one waits for signals: the first makes the other thread's system call return; if the kernel
//! does not let it, the person is told what is being waited for; the second signal ends the
//! program.
//!
//! Invariant: when [`run`] returns, the work has come to its end, or it returns
//! [`InterruptError::Abandoned`] and the program ends; nothing goes on unseen.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use thiserror::Error;

use super::failure::tell;
use super::signals::Signals;
use crate::host::interrupt;

/// How often the worker is interrupted again: a signal that comes just before a system call does
/// not end that call.
const WAKE_INTERVAL: Duration = Duration::from_millis(100);

/// After this long the kernel is taken to wait uninterruptibly.
const PATIENCE: Duration = Duration::from_millis(500);

/// Tells the work whether it should stop at its next step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Whether a signal has come.
    pub(crate) fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How the work ended.
#[derive(Debug)]
pub(crate) enum Ended<T> {
    /// By itself.
    Finished(T),
    /// After a signal: this is what it had come to.
    Interrupted(Signal, T),
}

/// Why work could not be run so that it can be interrupted.
#[derive(Debug, Error)]
pub enum InterruptError {
    /// Signals or the thread could not be set up.
    #[error("cannot set up the handling of signals")]
    SetUp(#[source] io::Error),
    /// Waiting for the work failed.
    #[error("cannot wait for signals")]
    Wait(#[source] nix::Error),
    /// A second signal came while the kernel could not be interrupted.
    #[error("ended by a second {0} while the kernel was still at work")]
    Abandoned(Signal),
}

/// Runs `work` until it ends. `waits_for` says what the kernel may be doing
/// when it cannot be interrupted.
pub(crate) fn run<T: Send + 'static>(
    waits_for: &str,
    work: impl FnOnce(&Stop) -> T + Send + 'static,
) -> Result<Ended<T>, InterruptError> {
    let signals = Signals::block().map_err(|error| InterruptError::SetUp(error.into()))?;
    let stop = Stop::default();
    let worker = Worker::start(stop.clone(), work).map_err(InterruptError::SetUp)?;
    let Some(signal) = worker.wait_for_signal(&signals)? else {
        return Ok(Ended::Finished(worker.join()));
    };
    stop.0.store(true, Ordering::Relaxed);
    worker.interrupt(&signals, waits_for)?;
    Ok(Ended::Interrupted(signal, worker.join()))
}

struct Worker<T> {
    thread: JoinHandle<T>,
    /// Its other end closes when the thread ends, however it ends.
    done: UnixStream,
}

impl<T: Send + 'static> Worker<T> {
    fn start(stop: Stop, work: impl FnOnce(&Stop) -> T + Send + 'static) -> io::Result<Worker<T>> {
        let (done, closes_at_end) = UnixStream::pair()?;
        let thread = std::thread::Builder::new().spawn(move || {
            let _closes_at_end = closes_at_end;
            work(&stop)
        })?;
        Ok(Worker { thread, done })
    }

    /// The first signal, or `None` when the work ends first.
    fn wait_for_signal(&self, signals: &Signals) -> Result<Option<Signal>, InterruptError> {
        loop {
            if self.wait(signals, PollTimeout::NONE)? {
                return Ok(None);
            }
            if let Some(signal) = signals.take().map_err(InterruptError::Wait)? {
                return Ok(Some(signal));
            }
        }
    }

    /// Wakes the worker until it ends, and says why that takes long if it does.
    fn interrupt(&self, signals: &Signals, waits_for: &str) -> Result<(), InterruptError> {
        let started = Instant::now();
        let interval = PollTimeout::try_from(WAKE_INTERVAL).unwrap_or(PollTimeout::ZERO);
        let mut told = false;
        loop {
            interrupt::wake(&self.thread).map_err(InterruptError::Wait)?;
            if self.wait(signals, interval)? {
                return Ok(());
            }
            if let Some(signal) = signals.take().map_err(InterruptError::Wait)? {
                return Err(InterruptError::Abandoned(signal));
            }
            if !told && started.elapsed() >= PATIENCE {
                told = true;
                // Not a log line: a person waits at the terminal and must know why, whatever the
                // log level is.
                tell(format_args!(
                    "{waits_for}. This cannot be interrupted: waiting for it to finish. A second \
                     signal ends this program as soon as the kernel lets it."
                ));
            }
        }
    }

    /// Waits for a signal, the end of the work (true) or the time-out.
    fn wait(&self, signals: &Signals, timeout: PollTimeout) -> Result<bool, InterruptError> {
        let mut descriptors = [
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.done.as_fd(), PollFlags::POLLIN),
        ];
        poll(&mut descriptors, timeout).map_err(InterruptError::Wait)?;
        Ok(descriptors[1].any().unwrap_or(true))
    }

    fn join(self) -> T {
        match self.thread.join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
