//! `connect`: makes a controller, or finds the one that is there, and says which devices it brings.
//!
//! Invariant: idempotent. Nothing is written to the kernel before every option is known to be good.

pub(super) mod arguments;
mod remedy;
pub(super) mod secret;
pub(super) mod tuning;
mod wait;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use nvme_fabrics::{
    ConnectError, ConnectHow, ConnectOptions, Connected, DialError, Fabrics, OptionsError, Owner,
    Refusal,
};
use nvme_sysfs::{
    Controller, NamespaceSelector, ScanError, Sysfs, Transport, Tree, UeventSocket,
    UeventSocketError,
};
use serde::Serialize;
use thiserror::Error;

use super::command::Command;
use super::device::{Device, DeviceError, human_size};
use super::exit::{Exit, Failure, chain};
use super::interrupt::{self, Ended, InterruptError, Stop};
use super::line::write_line;
use super::output::{Format, Report, write_json};
use super::request::{Request, RequestError};
use crate::config::Config;
use crate::host::requirements::{Check, Status, check_network};

pub use arguments::Arguments;
pub(super) use remedy::remedy_of;
pub use secret::SecretError;
pub use wait::WaitError;

/// How long the removal of a controller may take that does not stay.
const UNDO: Duration = Duration::from_secs(30);

/// What to connect and what to wait for.
#[derive(Debug)]
pub struct Options {
    request: Request,
    then: Then,
    dial_timeout: Duration,
    wait: Option<Wait>,
}

/// What to do with the options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Print,
    Connect,
}

/// What to wait for after the connect.
#[derive(Debug)]
struct Wait {
    which: NamespaceSelector,
    timeout: Duration,
}

/// What came of it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// A connection.
    Connected(Connection),
    /// What the kernel would have been asked, without its secrets.
    Printed {
        /// The option string.
        options: String,
    },
}

/// A connection and what it brings.
#[derive(Debug, Serialize)]
pub struct Connection {
    controller: String,
    /// `created`, or `adopted` when it was there before.
    result: &'static str,
    state: String,
    nqn: String,
    address: String,
    /// The device, when the subsystem has exactly one that is usable: what most scripts are after.
    device: Option<PathBuf>,
    devices: Vec<Device>,
}

/// Why it did not work.
#[derive(Debug, Error)]
pub enum ConnectFailure {
    /// The options break a rule of the kernel.
    #[error("wrong options")]
    Options(#[from] OptionsError),
    /// A secret cannot be had.
    #[error("wrong options")]
    Secret(#[from] SecretError),
    /// `--wait` for a discovery controller.
    #[error("--wait: a discovery controller has no namespace to wait for")]
    NothingToWaitFor,
    /// `--uuid` or another of its kind without `--wait`.
    #[error(
        "--uuid, --nguid, --eui64 and --nsid say which namespace to wait for: they need --wait"
    )]
    WhichWithoutWait,
    /// The options cannot be completed.
    #[error("cannot connect")]
    Request(#[from] RequestError),
    /// The connect failed.
    #[error("cannot connect")]
    Connect(#[from] ConnectError),
    /// Connected, but no namespace became usable.
    #[error("connected, but not usable")]
    Wait(#[from] WaitError),
    /// The events cannot be listened to; nothing was tried.
    #[error("cannot listen to the kernel's events")]
    Events(#[from] UeventSocketError),
    /// Connected, but sysfs cannot be read.
    #[error("connected, but the NVMe devices cannot be read")]
    Scan(#[from] ScanError),
    /// Connected, but a device node is wrong.
    #[error("connected, but a device node is wrong")]
    Device(#[from] DeviceError),
    /// A signal came, and the kernel gave up.
    #[error("interrupted by {0}: nothing was connected")]
    Interrupted(Signal),
    /// A signal came too late.
    #[error(
        "interrupted by {0}, but {1} is connected by now: it stays, and the next connect adopts it"
    )]
    InterruptedAfterConnect(Signal, String),
    /// A signal came, and something else went wrong besides.
    #[error("interrupted by {0}: {1}")]
    InterruptedOtherwise(Signal, String),
    /// Signals cannot be handled, or a second one came.
    #[error(transparent)]
    Signals(#[from] InterruptError),
}

impl Failure for ConnectFailure {
    fn exit(&self) -> Exit {
        match self {
            ConnectFailure::Options(_)
            | ConnectFailure::Request(RequestError::Options(_))
            | ConnectFailure::Secret(_)
            | ConnectFailure::NothingToWaitFor
            | ConnectFailure::WhichWithoutWait => Exit::WrongUse,
            ConnectFailure::Connect(error) => exit_of(error),
            ConnectFailure::Wait(WaitError::TimedOut { .. }) => Exit::TimedOut,
            _ => Exit::Failed,
        }
    }

    fn remedy(&self) -> Option<String> {
        match self {
            ConnectFailure::Connect(error) => remedy_of(error).map(str::to_owned),
            ConnectFailure::Wait(WaitError::TimedOut { .. }) => Some(
                "the controller stays connected; check that the target exports the namespace to \
                    this host, then connect again"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// A time-out is one whoever kept the time: we, or the kernel.
pub(super) fn exit_of(error: &ConnectError) -> Exit {
    match (error, error.refusal()) {
        (ConnectError::Excluded { .. }, _) => Exit::Refused,
        (ConnectError::Portal(DialError::NoAnswer { .. }), _)
        | (_, Some(Refusal::TimedOut | Refusal::NeverAnswered)) => Exit::TimedOut,
        _ => Exit::Failed,
    }
}

impl Command for Arguments {
    type Options = Options;
    type Report = Outcome;
    type Failure = ConnectFailure;

    fn format(&self) -> Format {
        self.output.format
    }

    fn options(self) -> Result<Options, ConnectFailure> {
        self.into_options()
    }

    fn run(config: &Config, options: Options) -> Result<Outcome, ConnectFailure> {
        let root = config.root.clone();
        if options.then == Then::Print {
            let options = options.request.previewed(&root)?.masked();
            return Ok(Outcome::Printed { options });
        }
        let waits_for = uninterruptible(&root, &options.request);
        match interrupt::run(&waits_for, move |stop| connect(root, &options, stop))? {
            Ended::Finished(result) => result.map(Outcome::Connected),
            Ended::Interrupted(signal, result) => Err(interrupted(signal, result)),
        }
    }
}

/// What the kernel may be doing when it cannot be interrupted.
fn uninterruptible(root: &Path, request: &Request) -> String {
    let (nqn, address) = (request.options().nqn(), request.options().address());
    let then = match request.is_named(root) {
        true => "a controller that it makes stays, and the next connect adopts it",
        false => {
            "a controller that it makes stays; if this program is ended before, no later connect adopts it, for the \
             name of this host is not stored yet: disconnect it then"
        }
    };
    format!("the kernel is connecting {nqn} at {address}; {then}")
}

fn interrupted(signal: Signal, result: Result<Connection, ConnectFailure>) -> ConnectFailure {
    match result {
        Ok(connection) => ConnectFailure::InterruptedAfterConnect(signal, connection.controller),
        Err(ConnectFailure::Wait(WaitError::Interrupted { controller })) => {
            ConnectFailure::InterruptedAfterConnect(signal, controller.to_string())
        }
        Err(ConnectFailure::Connect(error)) if error.is_interrupted() => {
            ConnectFailure::Interrupted(signal)
        }
        Err(error) => ConnectFailure::InterruptedOtherwise(signal, chain(&error)),
    }
}

fn connect(root: PathBuf, options: &Options, stop: &Stop) -> Result<Connection, ConnectFailure> {
    // Opened first: an event of what follows must not be missed.
    let wait = match &options.wait {
        Some(wait) => Some((wait, UeventSocket::open()?)),
        None => None,
    };
    let given = options.request.options();
    warn_of_foreign_network(&root, given);
    tracing::info!(nqn = %given.nqn(), address = %given.address(), "connecting");
    let fabrics = Fabrics::at(&root).owned_by(Owner::Administrator);
    let connect = |request: &ConnectOptions| -> Result<Connected, ConnectFailure> {
        Ok(fabrics.connect(request, options.dial_timeout)?)
    };
    let sysfs = Sysfs::at(&root);
    let undo = |request: &ConnectOptions| disconnect_as(&sysfs, &fabrics, request);
    let (request, connected) = options.request.carry_out(&root, connect, undo)?;
    let tree = match wait {
        None => sysfs.scan()?,
        Some((wait, events)) => {
            let goal = wait::Goal {
                nqn: request.nqn().clone(),
                controller: connected.controller,
                which: wait.which,
                timeout: wait.timeout,
            };
            wait::wait(&sysfs, &fabrics, &goal, stop, &mut |until| {
                events.receive(Some(until))
            })?
        }
    };
    describe(&root, &request, &connected, &tree)
}

/// Disconnects what was connected by a request with an identity that is stored nowhere, and therefore by nobody else.
fn disconnect_as(sysfs: &Sysfs, fabrics: &Fabrics, request: &ConnectOptions) {
    let controllers = sysfs.scan_controllers().unwrap_or_else(|error| {
        let error = chain(&error);
        tracing::error!(
            error,
            "a controller may stay, connected as a host that this is not"
        );
        Vec::new()
    });
    let is_of_request =
        |it: &&Controller| it.hostid.is_some() && it.hostid.as_ref() == request.hostid();
    for controller in controllers.iter().filter(is_of_request) {
        let controller = controller.instance;
        if let Err(error) = fabrics.disconnect(controller, request.nqn(), UNDO) {
            let error = chain(&error);
            tracing::error!(%controller, error, "it stays, connected as a host that this is not");
        }
    }
}

/// The kernel opens the first connection from here and later ones from the host's network, so that
/// what works now may never come back.
fn warn_of_foreign_network(root: &Path, options: &ConnectOptions) {
    if !matches!(options.transport(), Transport::Tcp | Transport::Rdma) {
        return;
    }
    let check = check_network(root);
    if check.status == Status::Fail {
        let Check {
            finding,
            what_to_do,
            ..
        } = check;
        tracing::warn!(finding, what_to_do, "not the network namespace of the host");
    }
}

/// The result as it is in `tree`, read after the connect.
pub(super) fn describe(
    root: &Path,
    options: &ConnectOptions,
    connected: &Connected,
    tree: &Tree,
) -> Result<Connection, ConnectFailure> {
    let Connected {
        controller,
        how,
        state,
    } = connected;
    let found = wait::find_controller(tree, options.nqn(), *controller);
    let devices = wait::usable_namespaces(tree, options.nqn(), *controller)
        .into_iter()
        .map(|namespace| Device::of(root, namespace))
        .collect::<Result<Vec<_>, _>>()?;
    let device = match devices.as_slice() {
        [only] => Some(only.device.clone()),
        _ => None,
    };
    Ok(Connection {
        controller: controller.to_string(),
        result: match how {
            ConnectHow::Created => "created",
            ConnectHow::Adopted => "adopted",
        },
        state: found.map_or(state, |found| &found.state).to_string(),
        nqn: options.nqn().to_string(),
        address: found.map_or_else(
            || options.address().to_string(),
            |found| found.address_text.clone(),
        ),
        device,
        devices,
    })
}

impl Report for Outcome {
    fn write(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        match (format, self) {
            (Format::Json, _) => write_json(self, out),
            (Format::Human, Outcome::Connected(connection)) => connection.human(out),
            (Format::Human, Outcome::Printed { options }) => {
                write_line(out, format_args!("{options}"))
            }
        }
    }
}

impl Connection {
    /// Name of the controller.
    pub(super) fn controller(&self) -> &str {
        &self.controller
    }

    pub(super) fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let Connection {
            controller,
            result,
            state,
            nqn,
            address,
            ..
        } = self;
        write_line(
            out,
            format_args!("{controller} {state} {result} {nqn} {address}"),
        )?;
        for device in &self.devices {
            let size = human_size(device.size_bytes);
            let nsid = device.nsid.map(|nsid| format!(" nsid {nsid}"));
            let uuid = device.uuid.as_ref().map(|uuid| format!(" uuid {uuid}"));
            let (nsid, uuid) = (nsid.unwrap_or_default(), uuid.unwrap_or_default());
            let path = device.device.display();
            write_line(out, format_args!("{path} {size}{nsid}{uuid}"))?;
        }
        Ok(())
    }
}
