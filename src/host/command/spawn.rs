//! Starts a program that does not outlive us: `prctl(PR_SET_PDEATHSIG)`.
//!
//! The signal is sent when the *thread* that started the program ends (prctl(2)), so that thread has
//! to wait for it, which [`super::Programs::run`] does. It is cleared by fork and can therefore only
//! be set between fork and exec; this file is the only unsafe code for that.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

/// Starts the command; the kernel kills it when the calling thread ends.
pub(super) fn spawn(command: &mut Command) -> io::Result<Child> {
    let parent = getpid();
    #[expect(unsafe_code, reason = "only the child itself can ask for the signal")]
    // SAFETY: between fork and exec the closure makes two system calls, on values that it owns; it
    // allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || end_with(parent));
    }
    command.spawn()
}

fn end_with(parent: Pid) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // A parent that ended before that sends no signal any more.
    if getppid() == Some(parent) {
        return Ok(());
    }
    Err(Errno::SRCH.into())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::Stdio;
    use std::thread;

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test of starting programs")]
    fn a_program_ends_with_the_thread_that_started_it() {
        let mut command = Command::new("/bin/sleep");
        command.arg("1000").stdout(Stdio::piped());
        let starter = thread::spawn(move || spawn(&mut command).expect("it starts"));
        let mut child = starter.join().expect("no panic");
        let mut output = child.stdout.take().expect("a pipe");
        let end = output.read(&mut [0]).expect("the other end closes");
        assert_eq!(end, 0);
        let status = child.wait().expect("it has ended");
        assert_eq!(status.to_string(), "signal: 9 (SIGKILL)");
    }

    #[test]
    fn a_child_whose_parent_is_gone_does_not_start() {
        let error = end_with(Pid::INIT).expect_err("our parent is not the first process");
        assert_eq!(Errno::from_io_error(&error), Some(Errno::SRCH));
    }
}
