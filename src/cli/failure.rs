//! The one place where an error is told to whoever ran the program.

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use super::exit::{Exit, Failure, chain};
use super::line::write_line;
use super::output::Format;
use crate::config::LogFormat;

/// An error for programs, in the form that was asked for with `-o json`.
#[derive(Debug, Serialize)]
struct ErrorObject<'a> {
    /// The whole chain of causes.
    error: &'a str,
    what_to_do: Option<&'a str>,
    /// The exit code.
    exit: u8,
}

/// Tells the whole chain of causes once, on standard error, and what to do: to the program that wants its result as JSON
/// as an object, else as a line of the log.
pub(super) fn report(failure: &dyn Failure, log: LogFormat, output: Format) {
    let chain = chain(failure);
    let remedy = failure.remedy();
    match (output, log) {
        (Format::Json, _) => write_object(&chain, remedy.as_deref(), failure.exit()),
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

/// Writes the object on one line, the last one: the log before it goes to the same stream.
pub(super) fn write_object(error: &str, what_to_do: Option<&str>, exit: Exit) {
    let object = ErrorObject {
        error,
        what_to_do,
        exit: exit.code(),
    };
    // In one piece, so that no other line comes between.
    let line = serde_json::to_string(&object).map(|object| object + "\n");
    if let Ok(line) = line {
        let _nobody_reads = io::stderr().write_all(line.as_bytes());
    }
}

/// Writes a line to standard error for the person who waits there, if anybody still does: `eprintln!`
/// would panic, and the exit code is what a script needs.
pub(super) fn tell(line: fmt::Arguments<'_>) {
    let _nobody_reads = write_line(&mut io::stderr(), line);
}
