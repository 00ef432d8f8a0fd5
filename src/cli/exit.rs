//! How the program ends: exit codes, and the one place where an error is told to a person.
//!
//! Invariant: a number is never reused for another meaning; scripts decide by it.

use std::error::Error;
use std::fmt;
use std::io;
use std::process::ExitCode;

use super::line::write_line;
use crate::config::{ConfigError, LogFormat};

pub(crate) use crate::causes::chain;

/// What the exit code of the program says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing was left to do.
    Done,
    /// It failed, or was interrupted.
    Failed,
    /// The command line is wrong; nothing was tried.
    WrongUse,
    /// What was asked for does not exist.
    NotFound,
    /// It did not happen within the time given.
    TimedOut,
    /// Refused because data could be lost.
    Refused,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::WrongUse => 2,
            Exit::NotFound => 3,
            Exit::TimedOut => 4,
            Exit::Refused => 5,
        })
    }
}

/// The error of a verb, as far as its user is concerned.
pub trait Failure: Error {
    /// The exit code it means.
    fn exit(&self) -> Exit;

    /// What to do about it, where the error itself does not say.
    fn remedy(&self) -> Option<String> {
        None
    }
}

impl Failure for ConfigError {
    fn exit(&self) -> Exit {
        Exit::WrongUse
    }
}

/// Tells the whole chain of causes once, on standard error, and what to do.
pub(crate) fn report(failure: &dyn Failure, format: LogFormat) {
    let chain = chain(failure);
    let remedy = failure.remedy();
    match format {
        LogFormat::Json => tracing::error!(error = chain, remedy, "the command failed"),
        LogFormat::Text => {
            tell(format_args!("error: {chain}"));
            if let Some(remedy) = remedy {
                tell(format_args!("  what to do: {remedy}"));
            }
        }
    }
}

/// Writes a line to standard error for the person who waits there, if anybody still does: `eprintln!`
/// would panic, and the exit code is what a script needs.
pub(crate) fn tell(line: fmt::Arguments<'_>) {
    let _nobody_reads = write_line(&mut io::stderr(), line);
}
