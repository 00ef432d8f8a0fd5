//! The guest side of a cluster: PID 1 makes a node of the machine and only reaps; the agent, its child, runs the node's
//! programs and obeys the host's orders.
//!
//! Two processes because both wait: PID 1 for whatever has lost its parent, the agent for its own programs alone.

mod agent;
mod component;
mod network_plugin;
mod root;
mod shutdown;
mod target;

use std::io;
use std::process::{Command, ExitCode};

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::init::power_off;
use super::{Channel, Machine};
use crate::cluster::settings;

/// The first argument that makes a program the agent.
const AGENT: &str = "--agent";

/// What a program shall be in the guest, by how it was started; none of these on the host.
///
/// A program that is the guest's `/init` calls this before anything else but what it is in pods, where it may be process 1
/// as well.
pub fn run_if_asked() -> Option<ExitCode> {
    if std::process::id() == 1 {
        be_init();
    }
    if let Some(verb) = network_plugin::verb() {
        return Some(network_plugin::main(&verb));
    }
    let mut arguments = std::env::args().skip(1);
    (arguments.next()? == AGENT).then(agent::main)
}

/// The whole life of PID 1.
fn be_init() -> ! {
    if let Err(error) = Machine::start().and_then(|_| live()) {
        eprintln!("guest: {error}");
        // The host waits for a word, and would else do so to its deadline.
        if let Ok(mut channel) = Channel::open() {
            let _said = channel
                .line(&format!("guest: {error}"))
                .and_then(|()| channel.exit(1));
        }
    }
    power_off()
}

/// Until the agent ends.
fn live() -> io::Result<()> {
    root::enter()?;
    let agent = Command::new(settings::GUEST_PROGRAM).arg(AGENT).spawn()?;
    let agent = Pid::from_raw(i32::try_from(agent.id()).map_err(io::Error::other)?);
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(id, _) | WaitStatus::Signaled(id, _, _)) if id == agent => {
                return Ok(());
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
