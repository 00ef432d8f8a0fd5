//! A child process that dies with us.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{self, ChildStderr, ChildStdout, Command, Stdio};
use std::time::Duration;

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

    /// Processor time of the program so far, of all its threads; also once it is killed, until it is dropped.
    pub(super) fn processor_time(&self) -> io::Result<Duration> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        processor_time(&text).ok_or_else(|| io::Error::other("/proc/PID/stat has another form"))
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

/// User and system time of `/proc/PID/stat`, whose second field, the name, may hold anything (proc_pid_stat(5)).
fn processor_time(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(") ")?;
    // The third field of the file is the first here; user and system time are the fourteenth and fifteenth.
    let mut times = fields.split(' ').skip(11).map(str::parse::<u64>);
    let (user, system) = (times.next()?.ok()?, times.next()?.ok()?);
    Some(Duration::from_millis((user + system) * 1000 / TICKS))
}

/// Per second, in `/proc/PID/stat` on Linux (`USER_HZ`).
const TICKS: u64 = 100;

#[expect(unsafe_code, reason = "the only way to run code between fork and exec")]
fn die_with_parent(command: &mut Command) {
    // SAFETY: prctl is a plain system call; nothing is allocated or locked between fork and exec.
    unsafe {
        command.pre_exec(|| prctl::set_pdeathsig(Signal::SIGKILL).map_err(io::Error::from));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_brackets_does_not_shift_the_times() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 1 2 3 4 150 25 8 9 20 0 1 0 5 6 7";
        assert_eq!(processor_time(stat), Some(Duration::from_millis(1750)));
        assert_eq!(processor_time("7 (short) S 1"), None);
    }

    #[test]
    fn the_time_of_a_killed_program_is_known_until_it_is_dropped() {
        let mut child = Child::spawn(Command::new("sleep").arg("600")).expect("sleep starts");
        child.kill().expect("it is killed");
        assert!(child.processor_time().is_ok());
    }
}
