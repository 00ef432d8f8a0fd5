//! The agent: obeys the host, one order on a connection (see [`crate::cluster::order`]).

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::component::Components;
use super::shutdown;
use super::target::{self, Target};
use crate::cluster::order::Order;
use crate::cluster::settings;
use crate::guest::{Channel, context};

/// What orders change; one at a time, but for those that only read or wait for the kernel.
#[derive(Debug)]
struct Node {
    components: Components,
    target: Target,
}

/// The whole life of the agent: it ends with the machine.
pub(super) fn main() -> ExitCode {
    let ended = serve();
    let Err(error) = ended else {
        return ExitCode::SUCCESS;
    };
    let said = Channel::open().and_then(|mut channel| {
        channel.line(&format!("guest: {error}"))?;
        channel.exit(1)
    });
    if let Err(also) = said {
        eprintln!("guest: {error}; {also}");
    }
    ExitCode::FAILURE
}

fn serve() -> io::Result<()> {
    let mut components = Components::default();
    for name in settings::STARTED_AT_ONCE {
        components.restart(name)?;
    }
    let target = Target::new()?;
    let node = Arc::new(Mutex::new(Node { components, target }));
    let listener = TcpListener::bind((settings::NODE_ADDRESS, settings::AGENT_PORT))?;
    Channel::open()?.line(settings::AGENT_LISTENS)?;
    loop {
        let (stream, _) = listener.accept()?;
        let node = Arc::clone(&node);
        thread::spawn(move || {
            // The host sees that there was no answer.
            let _answered = answer(stream, &node);
        });
    }
}

fn answer(mut stream: TcpStream, node: &Arc<Mutex<Node>>) -> io::Result<()> {
    let mut line = String::new();
    BufReader::new(stream.try_clone()?).read_line(&mut line)?;
    let result = match line.trim_end().parse() {
        Ok(order) => obey(order, node),
        Err(error) => Err(io::Error::other(error)),
    };
    match result {
        Ok(bytes) => {
            writeln!(stream, "ok {}", bytes.len())?;
            stream.write_all(&bytes)
        }
        Err(error) => writeln!(stream, "error {}", error.to_string().replace('\n', " ")),
    }
}

fn obey(order: Order, node: &Arc<Mutex<Node>>) -> io::Result<Vec<u8>> {
    let lock = || node.lock().unwrap_or_else(PoisonError::into_inner);
    let nothing = |done: io::Result<()>| done.map(|()| Vec::new());
    match order {
        Order::Cut => nothing(lock().target.cut()),
        Order::Join => nothing(lock().target.join()),
        Order::Make { volume, mib } => nothing(lock().target.make(&volume, mib)),
        Order::Withdraw(volume) => nothing(lock().target.withdraw(&volume)),
        Order::Export(volume) => nothing(lock().target.export(&volume)),
        Order::StopTarget => nothing(lock().target.stop()),
        Order::StartTarget => nothing(lock().target.start()),
        Order::DeleteControllers(volume) => {
            target::delete_controllers(&volume).map(String::into_bytes)
        }
        Order::Read(path) => context(fs::read(&path), || path),
        Order::List(path) => list(path.as_ref()).map(String::into_bytes),
        Order::Kill(program) => kill_program(&program).map(String::into_bytes),
        Order::Restart(name) => nothing(lock().components.restart(&name)),
        Order::Run(line) => run(&line),
        Order::Ended => lock()
            .components
            .ended()
            .map(|ended| ended.join("\n").into_bytes()),
        Order::Reboot => {
            let node = Arc::clone(node);
            // The host is answered while there is somebody to do so.
            thread::spawn(move || reboot(&node));
            Ok(Vec::new())
        }
        Order::PowerOff => nothing(Channel::open().and_then(|mut channel| channel.exit(0))),
    }
}

fn reboot(node: &Mutex<Node>) {
    let mut node = node.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = shutdown::reboot_in_order(&mut node.components) {
        let said = Channel::open().and_then(|mut channel| channel.line(&format!("guest: {error}")));
        eprintln!("guest: {error} {said:?}");
    }
}

fn run(line: &str) -> io::Result<Vec<u8>> {
    let mut words = line.split_whitespace();
    let program = words.next().ok_or_else(|| io::Error::other("no program"))?;
    let output = Command::new(program).args(words).output()?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(io::Error::other(format!(
            "{line}: {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ))),
    }
}

/// Everything below a directory, on its own filesystem only: one that has lost its disk is never asked.
fn list(directory: &Path) -> io::Result<String> {
    let device = fs::symlink_metadata(directory)?.dev();
    let mut open = vec![directory.to_owned()];
    let mut found = String::new();
    while let Some(directory) = open.pop() {
        let mut entries = fs::read_dir(&directory)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            found.push_str(&format!("{}\n", entry.path().display()));
            let same_device = || entry.metadata().is_ok_and(|data| data.dev() == device);
            if entry.file_type()?.is_dir() && same_device() {
                open.push(entry.path());
            }
        }
    }
    Ok(found)
}

/// Kills the processes of a program whose command line begins so, and gives their numbers.
fn kill_program(line: &str) -> io::Result<String> {
    let mut killed = String::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process may end meanwhile, and threads of the kernel have no command line.
        let command = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        let words = command.trim_end_matches('\0').split('\0');
        if begins_with(words, line) {
            kill(Pid::from_raw(id), Signal::SIGKILL)?;
            killed.push_str(&format!("{id}\n"));
        }
    }
    Ok(killed)
}

/// Whether a command line begins with these words; of its program only the name of the file counts.
fn begins_with<'a>(command: impl Iterator<Item = &'a str>, line: &str) -> bool {
    let command = command.map(|word| word.rsplit('/').next().unwrap_or(word));
    let command: Vec<_> = command.collect();
    command.starts_with(&line.split(' ').collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_told_by_its_first_words() {
        let command = || ["/usr/bin/nvmeof-csi", "node", "--verbose"].into_iter();
        assert!(begins_with(command(), "nvmeof-csi"));
        assert!(begins_with(command(), "nvmeof-csi node"));
        for other in [
            "nvmeof-csi controller",
            "node",
            "nvmeof-csi node --verbose more",
        ] {
            assert!(!begins_with(command(), other), "{other}");
        }
        assert!(!begins_with([""].into_iter(), "nvmeof-csi"));
    }
}
