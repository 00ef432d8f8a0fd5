//! The external programs `mke2fs`, `mkfs.xfs` and `e2fsck`: the only place that starts one.
//!
//! A program gets an empty environment but for `PATH`, nothing to read, a process group of its own
//! (a Ctrl-C at our terminal is ours to handle), the parent-death signal and an ordinary score for
//! when memory runs out. Both outputs go through one pipe, so that their order is kept.
//!
//! Invariant: when a call returns, the program has ended. One that the kernel cannot end, because it
//! waits for a dead device, keeps its caller: it may still write.

mod output;
mod spawn;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, PipeReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use thiserror::Error;

use crate::causes::chain;
use crate::host::oom_score::make_ordinary;
use output::Output;
use spawn::spawn;

/// Where the programs are looked for.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    /// Where proc is found.
    root: PathBuf,
    directories: Vec<PathBuf>,
}

/// One run of a program.
#[derive(Debug, Clone)]
pub(crate) struct Invocation {
    /// Its name.
    pub(crate) program: &'static str,
    /// What it is told.
    pub(crate) arguments: Vec<OsString>,
    /// How long it may take.
    pub(crate) deadline: Duration,
}

/// How a program ended by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    /// The last lines of both its outputs.
    pub(crate) output: String,
}

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
        source: io::Error,
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

impl Programs {
    /// Those of the image or machine this program runs in.
    pub(crate) fn installed(root: &Path) -> Programs {
        Programs::in_directories(root, ["/usr/sbin", "/usr/bin", "/sbin", "/bin"])
    }

    /// Those in certain directories; the first one that has a program wins.
    pub(crate) fn in_directories<D: Into<PathBuf>>(
        root: &Path,
        directories: impl IntoIterator<Item = D>,
    ) -> Programs {
        Programs {
            root: root.to_owned(),
            directories: directories.into_iter().map(Into::into).collect(),
        }
    }

    /// Runs a program to its end, whatever its exit code.
    ///
    /// # Errors
    /// [`CommandError`], but never [`CommandError::Failed`].
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Finished, CommandError> {
        let program = self.find(invocation.program)?;
        let failed = |source| CommandError::Run {
            command: invocation.to_string(),
            source,
        };
        let (mut child, pipe) = self.start(program, invocation).map_err(failed)?;
        let mut output = Output::new(invocation.program);
        let watched = watch(&child, pipe, invocation.deadline, &mut output);
        if !matches!(watched, Ok(Watched::Ended)) {
            // It may have ended meanwhile, which kill(2) of an unreaped child takes well.
            child.kill().map_err(failed)?;
        }
        let status = child.wait().map_err(failed)?;
        match watched.map_err(failed)? {
            Watched::Ended => Ok(Finished {
                status,
                output: output.text(),
            }),
            Watched::Deadline => Err(CommandError::Deadline {
                command: invocation.to_string(),
                deadline: invocation.deadline,
                output: output.text(),
            }),
        }
    }

    /// As [`Programs::run`], and exit code 0 alone is a success.
    ///
    /// # Errors
    /// [`CommandError`].
    pub(crate) fn run_to_success(&self, invocation: &Invocation) -> Result<(), CommandError> {
        let finished = self.run(invocation)?;
        if finished.status.success() {
            return Ok(());
        }
        Err(finished.into_error(invocation))
    }

    fn find(&self, program: &'static str) -> Result<PathBuf, CommandError> {
        let paths = self.directories.iter().map(|place| place.join(program));
        let found = paths.into_iter().find(|path| path.is_file());
        found.ok_or_else(|| CommandError::NotInstalled {
            program,
            searched: self.search_path().to_string_lossy().into_owned(),
        })
    }

    /// The value of `PATH`.
    fn search_path(&self) -> OsString {
        let directories: Vec<_> = self.directories.iter().map(|d| d.as_os_str()).collect();
        directories.join(":".as_ref())
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the product runs a program"
    )]
    fn start(&self, program: PathBuf, invocation: &Invocation) -> io::Result<(Child, PipeReader)> {
        let (reader, writer) = io::pipe()?;
        rustix::fs::fcntl_setfl(&reader, rustix::fs::OFlags::NONBLOCK)?;
        let mut command = Command::new(program);
        command
            .args(&invocation.arguments)
            .env_clear()
            .env("PATH", self.search_path())
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0);
        let child = spawn(&mut command)?;
        if let Err(error) = make_ordinary(&self.root, child.id()) {
            let error = chain(&error);
            tracing::debug!(error, "a program keeps our score for when memory runs out");
        }
        Ok((child, reader))
    }
}

impl Finished {
    /// The error of a run whose exit code is no success.
    pub(crate) fn into_error(self, invocation: &Invocation) -> CommandError {
        CommandError::Failed {
            command: invocation.to_string(),
            status: self.status,
            output: self.output,
        }
    }
}

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program)?;
        self.arguments
            .iter()
            .try_for_each(|argument| write!(f, " {}", argument.to_string_lossy()))
    }
}

/// How watching a program came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watched {
    Ended,
    Deadline,
}

/// Takes in what the program says until it has ended or the deadline has passed.
fn watch(
    child: &Child,
    mut pipe: PipeReader,
    deadline: Duration,
    output: &mut Output,
) -> io::Result<Watched> {
    let until = Instant::now() + deadline;
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let mut open = true;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(|_| Errno::OVERFLOW)?;
        let mut events = vec![PollFd::new(&pidfd, PollFlags::IN)];
        if open {
            events.push(PollFd::new(&pipe, PollFlags::IN));
        }
        match poll(&mut events, Some(&timeout)) {
            Ok(0) => return Ok(Watched::Deadline),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ended = !events[0].revents().is_empty();
        open = open && take_in(&mut pipe, output)? == Pipe::Open;
        if ended {
            return Ok(Watched::Ended);
        }
    }
}

/// Whether more can come through a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pipe {
    Open,
    Closed,
}

/// Reads what is there.
fn take_in(pipe: &mut PipeReader, output: &mut Output) -> io::Result<Pipe> {
    let mut buffer = [0; 4096];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return Ok(Pipe::Closed),
            Ok(length) => output.push(&buffer[..length], Instant::now()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Pipe::Open),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    /// A directory in which the shell is called `mke2fs`.
    fn programs() -> (TempDir, Programs) {
        let directory = tempfile::tempdir().expect("temporary directory");
        symlink("/bin/sh", directory.path().join("mke2fs")).expect("link");
        let programs = Programs::in_directories(Path::new("/"), [directory.path()]);
        (directory, programs)
    }

    fn invocation(script: &str, deadline: Duration) -> Invocation {
        Invocation {
            program: "mke2fs",
            arguments: vec!["-c".into(), script.into()],
            deadline,
        }
    }

    const LONG: Duration = Duration::from_secs(120);

    fn run(script: &str) -> Result<Finished, CommandError> {
        let (_directory, programs) = programs();
        programs.run(&invocation(script, LONG))
    }

    fn run_to_success(script: &str) -> Result<(), CommandError> {
        let (_directory, programs) = programs();
        programs.run_to_success(&invocation(script, LONG))
    }

    #[test]
    fn both_outputs_are_kept_in_order_with_the_exit_code() {
        let finished = run("echo one; echo two >&2; echo three; exit 3").expect("it ran");
        assert_eq!(finished.output, "one; two; three");
        assert_eq!(finished.status.code(), Some(3));
    }

    #[test]
    fn the_environment_is_empty_but_for_the_path() {
        let finished = run("/usr/bin/env").expect("it ran");
        let names: Vec<_> = finished
            .output
            .split("; ")
            .filter_map(|line| line.split_once('='))
            .map(|(name, _)| name)
            // These three are dash's own.
            .filter(|name| !matches!(*name, "PWD" | "OLDPWD" | "_"))
            .collect();
        assert_eq!(names, ["PATH"]);
    }

    #[test]
    fn there_is_nothing_to_read() {
        let finished = run("read answer || echo end of file").expect("it ran");
        assert_eq!(finished.output, "end of file");
    }

    #[test]
    fn a_failure_names_the_command_the_status_and_the_output() {
        let error = run_to_success("echo no space; exit 1").expect_err("exit code 1");
        assert_eq!(
            error.to_string(),
            "mke2fs -c echo no space; exit 1 ended with exit status: 1: no space"
        );
    }

    #[test]
    fn a_program_that_is_killed_is_no_success() {
        let error = run_to_success("kill -9 $$");
        assert!(
            matches!(&error, Err(CommandError::Failed { status, .. }) if status.code().is_none()),
            "{error:?}"
        );
    }

    #[test]
    fn at_the_deadline_it_is_killed_and_what_it_said_is_kept() {
        let (_directory, programs) = programs();
        let stuck = invocation("echo half way; kill -STOP $$", Duration::from_secs(1));
        let error = programs.run(&stuck).expect_err("it is stuck");
        assert_eq!(
            error.to_string(),
            "mke2fs -c echo half way; kill -STOP $$ was killed after 1s: half way"
        );
    }

    #[test]
    fn a_program_that_closes_its_outputs_is_waited_for() {
        let finished = run("exec >&- 2>&-; exit 7").expect("it ran");
        assert_eq!(finished.status.code(), Some(7));
    }

    #[test]
    fn a_program_that_is_not_installed_is_named_with_the_places() {
        let programs = Programs::in_directories(Path::new("/"), ["/nowhere/sbin", "/nowhere/bin"]);
        let error = programs.run(&invocation("", LONG)).expect_err("not there");
        assert_eq!(
            error.to_string(),
            "mke2fs is in none of /nowhere/sbin:/nowhere/bin"
        );
    }

    #[test]
    fn a_file_that_cannot_be_executed_is_an_error() {
        let directory = tempfile::tempdir().expect("temporary directory");
        fs::write(directory.path().join("mke2fs"), "").expect("file");
        let programs = Programs::in_directories(Path::new("/"), [directory.path()]);
        let error = programs
            .run(&invocation("", LONG))
            .expect_err("not executable");
        assert!(matches!(error, CommandError::Run { .. }), "{error}");
    }
}
