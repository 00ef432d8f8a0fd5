//! The external programs `mke2fs`, `mkfs.xfs` and `e2fsck`: the only place that starts one.

use std::process::ExitStatus;
use std::time::Duration;

use thiserror::Error;

/// How a program failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CommandError {
    /// It is not installed.
    #[error("{program} is in none of {searched}")]
    NotInstalled {
        /// Its name.
        program: &'static str,
        /// Where it was looked for.
        searched: String,
    },
    /// It could not be started or watched.
    #[error("cannot run {command}")]
    Run {
        /// The program with its arguments.
        command: String,
        /// Why.
        source: std::io::Error,
    },
    /// It was still running at the deadline and was killed.
    #[error("{command} was killed after {deadline:?}: {output}")]
    Deadline {
        /// The program with its arguments.
        command: String,
        /// How long it had.
        deadline: Duration,
        /// What it said last.
        output: String,
    },
    /// It ended with another status than success.
    #[error("{command} ended with {status}: {output}")]
    Failed {
        /// The program with its arguments.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said last.
        output: String,
    },
}
