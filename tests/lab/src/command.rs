//! Running the programs that the lab needs on the host.
//!
//! Invariant: a program that cannot be started or fails is an error that shows its whole command line.

use std::env;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// Why a program gave no result.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be started.
    #[error("cannot start `{command}`")]
    Start {
        /// Its command line.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// It ended with an error.
    #[error("`{command}` failed ({status}) {stderr}")]
    Failed {
        /// Its command line.
        command: String,
        /// Its exit status.
        status: ExitStatus,
        /// What it wrote to standard error, where that was not shown already.
        stderr: String,
    },
}

/// Directories that hold administration tools and are missing from an ordinary user's PATH on Debian.
const SBIN: [&str; 2] = ["/usr/sbin", "/sbin"];

/// The program's path, if it is installed.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(SBIN.iter().map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| is_executable(candidate))
}

/// Runs a command and returns what it printed.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>, CommandError> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| CommandError::Start {
            command: line(command),
            source,
        })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(CommandError::Failed {
        command: line(command),
        status: output.status,
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

/// Runs a command whose output, all of it, goes to our standard error as it comes.
pub(crate) fn show(command: &mut Command) -> Result<(), CommandError> {
    show_and(command, Duration::MAX, &mut || ())
}

/// The same for one that takes long: `tell` is called each time that the given time has passed, and at the end.
pub(crate) fn show_and(
    command: &mut Command,
    every: Duration,
    tell: &mut dyn FnMut(),
) -> Result<(), CommandError> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::from(io::stderr()));
    let started = command.spawn();
    let status = started.and_then(|mut child| {
        let (ended, end) = mpsc::channel();
        thread::scope(|scope| {
            let waiting = scope.spawn(move || {
                let status = child.wait();
                // Nobody listens any more only where `tell` has panicked.
                let _unheard = ended.send(());
                status
            });
            while let Err(RecvTimeoutError::Timeout) = end.recv_timeout(every) {
                tell();
            }
            tell();
            waiting.join().expect("waiting does not panic")
        })
    });
    let status = status.map_err(|source| CommandError::Start {
        command: line(command),
        source,
    })?;
    match status.success() {
        true => Ok(()),
        false => Err(CommandError::Failed {
            command: line(command),
            status,
            stderr: String::new(),
        }),
    }
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_shows_its_line_and_its_words() {
        let error =
            output(Command::new("sh").args(["-c", "echo broken >&2; exit 3"])).expect_err("exit 3");
        let text = error.to_string();
        assert!(
            text.contains("sh -c echo broken") && text.contains("3") && text.ends_with("broken"),
            "{text}"
        );
    }

    #[test]
    fn a_long_command_is_told_about_while_it_runs_and_at_its_end() {
        let told = tempfile::TempDir::new().expect("a directory");
        let file = told.path().join("told");
        // It ends only after the first word of it.
        let script = format!("while [ ! -e {} ]; do :; done; exit 4", file.display());
        let mut times = 0;
        let mut tell = || {
            times += 1;
            std::fs::write(&file, "").expect("a file");
        };
        let every = Duration::from_millis(1);
        let error = show_and(Command::new("sh").arg("-c").arg(script), every, &mut tell);
        assert!(times >= 2, "{times}");
        let text = error.expect_err("exit 4").to_string();
        assert!(text.contains("exit status: 4"), "{text}");
    }

    #[test]
    fn a_missing_program_is_none_and_cannot_start() {
        assert_eq!(find_program("no-such-program"), None);
        let error = output(&mut Command::new("no-such-program")).expect_err("missing");
        assert!(matches!(error, CommandError::Start { .. }), "{error}");
    }
}
