//! How the program ends: exit codes, and what an error of a verb is.
//!
//! Invariant: a number is never reused for another meaning; scripts decide by it.

use std::error::Error;
use std::process::ExitCode;

use crate::config::ConfigError;

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
