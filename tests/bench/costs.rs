//! What a program costs each time it runs: time on the clock, and processor time.
//!
//! Processor time is the figure to trust where other programs keep the machine busy.

use std::io;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use crate::times::Times;

/// The costs of all runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Costs {
    /// From before the process is made until it has ended.
    pub(crate) wall: Times,
    /// User and system time.
    pub(crate) processor: Times,
}

impl Costs {
    /// Runs the command once with its output thrown away.
    pub(crate) fn measure(&mut self, command: &mut Command) -> io::Result<()> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let before = processor_time_of_children()?;
        let started = Instant::now();
        let status = command.status()?;
        let elapsed = started.elapsed();
        if !status.success() {
            return Err(io::Error::other(format!("{command:?}: {status}")));
        }
        self.wall.add(elapsed);
        self.processor
            .add(processor_time_of_children()?.saturating_sub(before));
        Ok(())
    }

    /// The medians divided by another's: wall and processor; `None` where one was not measured.
    pub(crate) fn ratios_to(&self, other: &Self) -> Option<(f64, f64)> {
        let wall = self.wall.ratio_to(&other.wall)?;
        Some((wall, self.processor.ratio_to(&other.processor)?))
    }
}

/// Of all children that have ended.
fn processor_time_of_children() -> io::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    Ok(duration(usage.user_time()) + duration(usage.system_time()))
}

fn duration(time: TimeVal) -> Duration {
    let seconds = u64::try_from(time.tv_sec()).expect("a process uses no negative time");
    let microseconds = u64::try_from(time.tv_usec()).expect("a process uses no negative time");
    Duration::from_secs(seconds) + Duration::from_micros(microseconds)
}
