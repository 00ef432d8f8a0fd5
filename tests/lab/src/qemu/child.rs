//! A child process that dies with us.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{self, ChildStderr, ChildStdout, Command, Stdio};

use nix::sys::prctl;
use nix::sys::signal::Signal;

/// A running program; killed and reaped when dropped.
#[derive(Debug)]
pub(super) struct Child {
    process: process::Child,
}

impl Child {
    /// Starts the program with both outputs piped and no input.
    ///
    /// The kernel kills it when the calling *thread* ends (prctl(2), `PR_SET_PDEATHSIG`), so the caller stays in its
    /// thread until the program is done.
    pub(super) fn spawn(command: &mut Command) -> io::Result<Self> {
        die_with_parent(command);
        let process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(Self { process })
    }

    /// Both outputs, once.
    pub(super) fn outputs(&mut self) -> (ChildStdout, ChildStderr) {
        let stdout = self
            .process
            .stdout
            .take()
            .expect("standard output was piped");
        let stderr = self
            .process
            .stderr
            .take()
            .expect("standard error was piped");
        (stdout, stderr)
    }

    /// Kills the program; its outputs reach their end.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        self.process.kill()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both fail only for a process that was reaped already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[expect(unsafe_code, reason = "the only way to run code between fork and exec")]
fn die_with_parent(command: &mut Command) {
    // SAFETY: prctl is a plain system call; nothing is allocated or locked between fork and exec.
    unsafe {
        command.pre_exec(|| prctl::set_pdeathsig(Signal::SIGKILL).map_err(io::Error::from));
    }
}
