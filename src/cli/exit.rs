//! How the program ends: exit codes, and the one place where an error is told to a person.
//!
//! Invariant: a number is never reused for another meaning; scripts decide by it.

use std::error::Error;
use std::fmt;
use std::io;
use std::process::ExitCode;

use serde::Serialize;

use super::line::write_line;
use super::output::{Format, write_json};
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

impl Exit {
    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::WrongUse => 2,
            Exit::NotFound => 3,
            Exit::TimedOut => 4,
            Exit::Refused => 5,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// An error for programs, in the form that was asked for with `-o json`.
#[derive(Debug, Serialize)]
struct ErrorObject {
    /// The whole chain of causes.
    error: String,
    /// What to do about it.
    what_to_do: Option<String>,
    /// The exit code.
    exit: u8,
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

/// Tells the whole chain of causes once, on standard error, and what to do: to the program that wants its result as JSON
/// as an object, else as a line of the log.
pub(crate) fn report(failure: &dyn Failure, log: LogFormat, output: Format) {
    let chain = chain(failure);
    let remedy = failure.remedy();
    match (output, log) {
        (Format::Json, _) => {
            let object = ErrorObject {
                error: chain,
                what_to_do: remedy,
                exit: failure.exit().code(),
            };
            let _nobody_reads = write_json(&object, &mut io::stderr());
        }
        (Format::Human, LogFormat::Json) => {
            tracing::error!(error = chain, remedy, "the command failed");
        }
        (Format::Human, LogFormat::Text) => {
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
