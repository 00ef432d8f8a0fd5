//! One file per verb of the command line.

pub(crate) mod kernels;
pub(crate) mod run;
pub(crate) mod setup;

use std::error::Error;
use std::process::ExitCode;

/// What a verb returns: its exit code, or an error that is printed with all its causes.
pub(crate) type Outcome = Result<ExitCode, Box<dyn Error>>;

/// An error with its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
