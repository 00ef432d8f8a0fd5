//! A running cluster: the guest, its agent and its API server as the host sees them.
//!
//! Invariant: the machine ends with the value that started it.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::credentials::{Account, Credentials};
use super::order::Order;
use super::settings;
use crate::command;
use crate::kernels::Kernel;
use crate::kubernetes::{Kubernetes, Program};
use crate::modules;
use crate::protocol;
use crate::qemu::{Boot, BootError, ConsoleOutput, GuestExit, Reboot};

const MEMORY_MIB: u32 = 3072;
/// Five times what a machine needs that has nothing else to do: on two busy processors it is twice as long.
const TO_LISTEN: Duration = Duration::from_secs(120);
/// The same for the API server. One that was starved while it started never becomes ready.
const TO_SERVE: Duration = Duration::from_secs(210);
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Longer than the slowest order: a shutdown that waits for the unit of deploy/host/systemd.
const TO_OBEY: Duration = Duration::from_secs(150);

/// The guest, running.
#[derive(Debug)]
pub struct Machine {
    kubectl: PathBuf,
    kubeconfig: PathBuf,
    api_port: u16,
    agent_port: u16,
    started: Instant,
    heard: Receiver<String>,
    boot: Option<JoinHandle<Result<GuestExit, BootError>>>,
}

/// What a machine boots from.
#[derive(Debug)]
pub struct Start<'a> {
    /// The kernel.
    pub kernel: &'a Kernel,
    /// The guest's program.
    pub init: &'a Path,
    /// Its root.
    pub disk: &'a Path,
    /// Where the kubeconfig for the host goes.
    pub kubeconfig: &'a Path,
    /// Keys and tokens.
    pub credentials: &'a Credentials,
    /// For kubectl.
    pub kubernetes: &'a Kubernetes,
    /// The whole machine must end within this time.
    pub deadline: Duration,
    /// Where the console goes besides its log.
    pub console: ConsoleOutput,
}

/// Why a machine is of no use.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// QEMU or the guest's kernel ended it.
    #[error("the guest is gone")]
    Boot(#[from] BootError),
    /// The guest ended by itself.
    #[error("the guest ended with {status}: {words}")]
    Ended {
        /// Its status.
        status: i32,
        /// What it said.
        words: String,
    },
    /// The guest ended while it was waited for.
    #[error("the guest is gone: {words}")]
    Gone {
        /// What it said.
        words: String,
    },
    /// The agent or the API server did not answer in time.
    #[error("{what} was not ready after {time:?}: {last}")]
    Starved {
        /// Which.
        what: &'static str,
        /// The time that it had.
        time: Duration,
        /// What was seen last.
        last: String,
    },
    /// The agent refused an order, or could not be asked.
    #[error("`{order}` was not done: {reason}")]
    Order {
        /// The order.
        order: String,
        /// What the agent, or the network, says.
        reason: String,
    },
    /// A file of ours.
    #[error("cannot read or write {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl MachineError {
    /// Whether the lab is to blame, and not what is tested: the kernel broke, or the machine was too slow to become a cluster.
    #[must_use]
    pub fn is_of_the_lab(&self) -> bool {
        matches!(
            self,
            Self::Boot(BootError::Panicked { .. }) | Self::Starved { .. }
        )
    }
}

impl Machine {
    /// Boots, and waits until the API server serves and the node's other programs are started.
    ///
    /// # Errors
    /// [`MachineError`]; see [`MachineError::is_of_the_lab`].
    pub fn start(start: &Start<'_>) -> Result<Self, MachineError> {
        let (api_port, agent_port) = (free_port()?, free_port()?);
        let server = format!("https://127.0.0.1:{api_port}");
        let text = start
            .credentials
            .kubeconfig(Account::Administrator, &server);
        fs::write(start.kubeconfig, text).map_err(at(start.kubeconfig))?;
        let mut boot = Boot::new(start.kernel, start.init);
        boot.memory_mib = MEMORY_MIB;
        boot.modules = modules::WANTED_BY_NODE.to_vec();
        boot.disk = Some(start.disk.to_owned());
        boot.forwards = vec![
            (api_port, settings::API_PORT),
            (agent_port, settings::AGENT_PORT),
        ];
        boot.reboot = Reboot::Boots;
        // Whoever runs cases begins them anew, and must know.
        boot.boots = 1;
        boot.deadline = start.deadline;
        boot.console = start.console;
        let (say, heard) = mpsc::channel();
        let boot = thread::spawn(move || {
            boot.run(&mut |line| {
                // Nobody listens once the machine is dropped.
                let _heard = say.send(line.to_owned());
            })
        });
        let machine = Self {
            kubectl: start.kubernetes.path(Program::Kubectl),
            kubeconfig: start.kubeconfig.to_owned(),
            api_port,
            agent_port,
            started: Instant::now(),
            heard,
            boot: Some(boot),
        };
        match machine.become_a_cluster() {
            // How it ended says more.
            Err(MachineError::Gone { words }) => {
                let GuestExit { status, .. } = machine.end()?;
                Err(MachineError::Ended { status, words })
            }
            done => done.map(|()| machine),
        }
    }

    /// From a boot to a node: also what follows a reboot.
    ///
    /// # Errors
    /// [`MachineError`]; see [`MachineError::is_of_the_lab`].
    pub fn become_a_cluster(&self) -> Result<(), MachineError> {
        self.wait_for_the_agent()?;
        self.wait_for_the_api_server()?;
        for name in settings::STARTED_LATER {
            self.order(&Order::Restart(name.to_owned()))?;
        }
        Ok(())
    }

    /// Since QEMU was started.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// The port of this machine's loopback behind which the API server is.
    #[must_use]
    pub fn api_port(&self) -> u16 {
        self.api_port
    }

    /// kubectl for this cluster, to be given its arguments.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(&self.kubectl);
        command.env("KUBECONFIG", &self.kubeconfig);
        // It keeps what it discovers, by address: another machine may have had this port.
        command.arg("--request-timeout=60s");
        command
            .arg("--cache-dir")
            .arg(self.kubeconfig.with_extension("cache"));
        command
    }

    /// Has the agent do something.
    ///
    /// # Errors
    /// [`MachineError::Order`] with the agent's own words.
    pub fn order(&self, order: &Order) -> Result<Vec<u8>, MachineError> {
        ask(self.agent_port, order).map_err(|error| MachineError::Order {
            order: order.to_string(),
            reason: error.to_string(),
        })
    }

    /// Whether the machine has ended, which it does not by itself; how it ended shows [`Machine::end`].
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.boot.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends the machine and says how it ended.
    ///
    /// # Errors
    /// [`MachineError::Boot`] where it had broken before.
    pub fn end(mut self) -> Result<GuestExit, MachineError> {
        self.power_off()
    }

    fn power_off(&mut self) -> Result<GuestExit, MachineError> {
        // One that is gone does not answer.
        let _asked = self.order(&Order::PowerOff);
        let boot = self.boot.take().expect("a machine ends once");
        let ended = boot.join().expect("a boot does not panic");
        Ok(ended?)
    }

    fn wait_for_the_agent(&self) -> Result<(), MachineError> {
        let deadline = Instant::now() + TO_LISTEN;
        let mut words = Vec::new();
        loop {
            match self
                .heard
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) if line == settings::AGENT_LISTENS => return Ok(()),
                Ok(line) if line == protocol::AGAIN => words.clear(),
                Ok(line) => words.push(line),
                Err(RecvTimeoutError::Disconnected) => {
                    let words = words.join("; ");
                    return Err(MachineError::Gone { words });
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Err(MachineError::Starved {
                        what: "the agent",
                        time: TO_LISTEN,
                        last: words.join("; "),
                    });
                }
            }
        }
    }

    /// With a token and from here: who is nobody may be refused although the server is ready.
    fn wait_for_the_api_server(&self) -> Result<(), MachineError> {
        let deadline = Instant::now() + TO_SERVE;
        loop {
            let mut ask = self.kubectl();
            ask.args(["get", "--raw", "/readyz", "--request-timeout=10s"]);
            let Err(error) = command::output(&mut ask) else {
                return Ok(());
            };
            if self.is_gone() {
                let words = error.to_string();
                return Err(MachineError::Gone { words });
            }
            if Instant::now() > deadline {
                return Err(MachineError::Starved {
                    what: "the API server",
                    time: TO_SERVE,
                    last: error.to_string(),
                });
            }
            thread::sleep(ASK_AGAIN);
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.boot.is_some() {
            let _ended = self.power_off();
        }
    }
}

/// One order on a connection.
fn ask(port: u16, order: &Order) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(TO_OBEY))?;
    writeln!(stream, "{order}")?;
    let mut answer = BufReader::new(stream);
    let mut line = String::new();
    answer.read_line(&mut line)?;
    if let Some(length) = line.trim_end().strip_prefix("ok ") {
        let length = length.parse().map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        answer.read_exact(&mut bytes)?;
        return Ok(bytes);
    }
    match line.trim_end().strip_prefix("error ") {
        Some(reason) => Err(io::Error::other(reason.to_owned())),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// A port that nobody has now; nobody else is given it soon.
fn free_port() -> Result<u16, MachineError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    let address = address.map_err(at(Path::new("a port of the loopback")))?;
    Ok(address.port())
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> MachineError {
    let path = path.to_owned();
    move |source| MachineError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_and_a_starved_api_server_are_of_the_lab_and_nothing_else_is() {
        let text = || "words".to_owned();
        let panicked = BootError::Panicked {
            release: text(),
            log: PathBuf::new(),
            tail: text(),
        };
        let starved = MachineError::Starved {
            what: "the API server",
            time: TO_SERVE,
            last: text(),
        };
        assert!(MachineError::Boot(panicked).is_of_the_lab() && starved.is_of_the_lab());
        let refused = MachineError::Order {
            order: text(),
            reason: text(),
        };
        let ended = MachineError::Ended {
            status: 1,
            words: text(),
        };
        for error in [refused, ended, MachineError::Boot(BootError::NoQemu)] {
            assert!(!error.is_of_the_lab(), "{error}");
        }
    }
}
