//! Counting the system calls of a program, by ptrace(2): nothing needs to be installed for it.
//!
//! The benchmark starts itself again as [`TRACED`] with the program's command line; that process asks to be traced and
//! becomes the program.

use std::env;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// The first argument of the process that becomes the program.
pub(crate) const TRACED: &str = "--become-traced";

/// Becomes the program; only comes back if that fails.
pub(crate) fn become_traced(command_line: &[String]) -> io::Error {
    let Some((program, arguments)) = command_line.split_first() else {
        return io::Error::new(io::ErrorKind::InvalidInput, "no program to trace");
    };
    match ptrace::traceme() {
        Ok(()) => Command::new(program).args(arguments).exec(),
        Err(errno) => errno.into(),
    }
}

/// Runs the command with its output thrown away and counts the system calls of all its threads.
pub(crate) fn count(command: &Command) -> io::Result<u64> {
    let mut traced = Command::new(env::current_exe()?);
    traced
        .arg(TRACED)
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            traced.env(name, value);
        }
    }
    let child = traced
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let main = Pid::from_raw(i32::try_from(child.id()).expect("a process id is an i32"));
    // The kernel stops it when it has become the program.
    match waitpid(main, None)? {
        WaitStatus::Stopped(..) => {}
        other => return Err(io::Error::other(format!("cannot be traced: {other:?}"))),
    }
    ptrace::setoptions(
        main,
        Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_EXITKILL,
    )?;
    ptrace::syscall(main, None)?;
    // Each call stops its thread twice, but for the last one of a thread, which does not return.
    Ok(count_stops(main)?.div_ceil(2))
}

/// Goes from stop to stop until the program has ended well.
fn count_stops(main: Pid) -> io::Result<u64> {
    let mut stops = 0;
    loop {
        let (thread, signal) = match waitpid(None, Some(WaitPidFlag::__WALL))? {
            WaitStatus::PtraceSyscall(thread) => {
                stops += 1;
                (thread, None)
            }
            WaitStatus::Exited(process, 0) if process == main => return Ok(stops),
            WaitStatus::Exited(process, _) if process != main => continue,
            WaitStatus::PtraceEvent(thread, ..) | WaitStatus::Stopped(thread, Signal::SIGSTOP) => {
                (thread, None)
            }
            WaitStatus::Stopped(thread, signal) => (thread, Some(signal)),
            other => return Err(io::Error::other(format!("the traced program: {other:?}"))),
        };
        ptrace::syscall(thread, signal)?;
    }
}
