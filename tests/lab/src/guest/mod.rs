//! The guest side: what runs as PID 1 in the emulated machine.
//!
//! No shell and no busybox: every step is a system call or a file of the kernel, so that a test
//! says exactly what it did. Errors are [`std::io::Error`]s that name the path or the link.

mod admin;
mod capture;
mod channel;
pub mod cluster;
pub mod demo;
mod fabrics;
mod init;
pub mod net;
pub mod nvmet;
mod rtnetlink;
mod uevents;

use std::io;

pub use channel::Channel;
use init::power_off;
pub use init::{Machine, cmdline};

/// Runs as PID 1 what the kernel command line asks for (`lab.capture=WHAT`; else it only names its kernel), and ends
/// the machine.
pub fn main() -> ! {
    live(|machine, channel| {
        if let Some(what) = word("lab.capture=")? {
            return capture::run(machine, &what, channel);
        }
        channel.line(&format!("guest: Linux {}", machine.release))?;
        machine.refused.iter().try_for_each(|(module, errno)| {
            channel.line(&format!("guest: module {module} did not load: {errno}"))
        })
    })
}

/// The whole life of a guest: starts the machine, does the work, tells the host how it went, ends the machine.
pub fn live(work: impl FnOnce(&Machine, &mut Channel) -> io::Result<()>) -> ! {
    // The channel is a device: it can be opened only once the machine has its `/dev`.
    let machine = Machine::start();
    let ended = Channel::open().and_then(|mut channel| {
        let code = match machine.and_then(|machine| work(&machine, &mut channel)) {
            Ok(()) => 0,
            Err(error) => {
                channel.line(&format!("guest: {error}"))?;
                1
            }
        };
        channel.exit(code)
    });
    if let Err(error) = ended {
        // The channel is the only way out; the console is where somebody may still look.
        eprintln!("guest: {error}");
    }
    power_off()
}

/// What follows `start` on the kernel command line.
fn word(start: &str) -> io::Result<Option<String>> {
    Ok(cmdline()?
        .iter()
        .find_map(|word| word.strip_prefix(start).map(str::to_owned)))
}

/// A program that the host packed, under the path that it has there.
#[must_use]
pub fn program(name: &str) -> std::process::Command {
    let mut command = std::process::Command::new(name);
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

/// Adds what was being done, and to what, to an I/O error.
///
/// # Errors
/// The error itself, with the same kind and errno where there was one.
pub fn context<T>(result: std::io::Result<T>, what: impl FnOnce() -> String) -> std::io::Result<T> {
    result.map_err(|error| std::io::Error::new(error.kind(), format!("{}: {error}", what())))
}
