//! `discover`: what a discovery controller, and those it refers to, say there is to connect to;
//! with `--connect`, connects it all.
//!
//! Invariant: a referral or a subsystem that fails is part of the result, and of the exit code; it
//! never hides what the others said.

mod report;

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use nvme_fabrics::{
    ConnectOptions, ConnectTuning, DiscoverError, Discovery, DiscoveryEntry, Fabrics, OptionsError,
    Owner, Subtype, TokenSet,
};
use nvme_sysfs::{Nqn, ScanError, Sysfs, Transport};
use thiserror::Error;

use super::command::Command;
use super::connect::arguments::{
    AddressArguments, HostArguments, Security, SecurityArguments, parse_transport,
};
use super::connect::tuning::TuningArguments;
use super::connect::{self, ConnectFailure, Connection, SecretError};
use super::exit::{Exit, Failure, chain};
use super::interrupt::{self, Ended, InterruptError, Stop};
use super::output::{Format, Output};
use super::request::{Request, RequestError};
use crate::config::Config;
use nvme_fabrics::number::parse_timeout;

pub use report::Found;

/// Arguments of `discover`. `-d` is nvme-cli's `--device` there.
#[derive(Debug, clap::Args)]
#[command(mut_arg("disable_sqflow", |arg| arg.short(None::<char>)))]
pub struct Arguments {
    /// tcp, rdma, fc or loop
    #[arg(long, short = 't', value_parser = parse_transport)]
    transport: Transport,

    /// NQN of the discovery controller [default: the well-known one]
    #[arg(long, short = 'n')]
    nqn: Option<Nqn>,

    /// Connect every subsystem that was found
    #[arg(long)]
    connect: bool,

    /// Seconds within which each TCP portal must answer
    // As for `connect`.
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = parse_timeout, allow_hyphen_values = true)]
    dial_timeout: Duration,

    #[command(flatten)]
    output: Output,

    // After all others: what follows a group is listed under its heading.
    #[command(flatten)]
    address: AddressArguments,

    #[command(flatten)]
    host: HostArguments,

    #[command(flatten)]
    tuning: TuningArguments,

    #[command(flatten)]
    security: SecurityArguments,
}

/// Whether to connect what is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Print,
    Connect,
}

/// Whom to ask, and what to do then.
#[derive(Debug)]
pub struct Options {
    request: Request,
    dial_timeout: Duration,
    tuning: ConnectTuning,
    security: Security,
    then: Then,
}

/// Why nothing was found out.
#[derive(Debug, Error)]
pub enum DiscoverFailure {
    /// The options break a rule of the kernel.
    #[error("wrong options")]
    Options(#[from] OptionsError),
    /// A secret cannot be had.
    #[error("wrong options")]
    Secret(#[from] SecretError),
    /// The options cannot be completed.
    #[error("cannot discover")]
    Request(#[from] RequestError),
    /// The discovery controller could not be asked.
    #[error("cannot discover")]
    Discover(#[from] DiscoverError),
    /// sysfs cannot be read.
    #[error("connected, but the NVMe devices cannot be read")]
    Scan(#[from] ScanError),
    /// A signal came.
    #[error("interrupted by {signal}: {outcome}")]
    Interrupted {
        /// Which signal.
        signal: Signal,
        /// How far it had come by then.
        outcome: String,
    },
    /// Signals cannot be handled, or a second one came.
    #[error(transparent)]
    Signals(#[from] InterruptError),
}

impl Failure for DiscoverFailure {
    fn exit(&self) -> Exit {
        match self {
            DiscoverFailure::Options(_)
            | DiscoverFailure::Secret(_)
            | DiscoverFailure::Request(RequestError::Options(_)) => Exit::WrongUse,
            DiscoverFailure::Discover(DiscoverError::Connect(error)) => connect::exit_of(error),
            _ => Exit::Failed,
        }
    }

    fn remedy(&self) -> Option<String> {
        match self {
            DiscoverFailure::Discover(DiscoverError::Connect(error)) => {
                connect::remedy_of(error).map(str::to_owned)
            }
            _ => None,
        }
    }
}

impl Command for Arguments {
    type Options = Options;
    type Report = Found;
    type Failure = DiscoverFailure;

    fn format(&self) -> Format {
        self.output.format
    }

    fn options(self) -> Result<Options, DiscoverFailure> {
        let nqn = self.nqn.unwrap_or_else(Nqn::discovery);
        let is_unique = !nqn.is_discovery();
        let mut builder = ConnectOptions::builder(self.transport, nqn);
        if is_unique {
            builder.discovery();
        }
        self.address.apply(&mut builder);
        self.host.apply(&mut builder);
        let security = self.security.read()?;
        security.apply(&mut builder);
        let tuning = self.tuning.0;
        // The connection to the discovery controller lasts only as long as this program.
        builder.tuning(ConnectTuning {
            ctrl_loss_tmo: None,
            reconnect_delay: None,
            fast_io_fail_tmo: None,
            ..tuning
        });
        Ok(Options {
            request: Request::new(builder)?,
            dial_timeout: self.dial_timeout,
            tuning,
            security,
            then: if self.connect {
                Then::Connect
            } else {
                Then::Print
            },
        })
    }

    fn run(config: &Config, options: Options) -> Result<Found, DiscoverFailure> {
        let waits_for = format!(
            "the kernel is connecting what the discovery controller at {} names; a controller \
             that it makes stays, and the next connect adopts it",
            options.request.options().address()
        );
        let root = config.root.clone();
        match interrupt::run(&waits_for, move |stop| discover(&root, &options, stop))? {
            Ended::Finished(result) => result,
            Ended::Interrupted(signal, result) => Err(interrupted(signal, result)),
        }
    }
}

fn interrupted(signal: Signal, result: Result<Found, DiscoverFailure>) -> DiscoverFailure {
    let outcome = match result {
        Ok(found) if found.connections.is_empty() => "nothing was connected".to_owned(),
        Ok(found) => {
            let names: Vec<_> = found
                .connections
                .iter()
                .map(Connection::controller)
                .collect();
            format!("connected by then, and still there: {}", names.join(", "))
        }
        Err(DiscoverFailure::Discover(DiscoverError::Connect(error))) if error.is_interrupted() => {
            "nothing was connected".to_owned()
        }
        Err(error) => chain(&error),
    };
    DiscoverFailure::Interrupted { signal, outcome }
}

fn discover(root: &PathBuf, options: &Options, stop: &Stop) -> Result<Found, DiscoverFailure> {
    let fabrics = Fabrics::at(root).owned_by(Owner::Administrator);
    let discover = |asked: &ConnectOptions| -> Result<Discovery, DiscoverFailure> {
        Ok(fabrics.discover(asked, options.dial_timeout)?)
    };
    // The discovery controller has gone again: nothing is left of it.
    let (asked, discovery) = options.request.carry_out(root, discover, |_| {})?;
    let unusable = |entry: &DiscoveryEntry| fabrics.unusable(entry, &asked);
    let mut found = Found::of(&discovery, unusable);
    if options.then == Then::Connect {
        let subsystems = discovery
            .entries
            .iter()
            .filter(|entry| entry.subtype == Subtype::Nvm && unusable(entry).is_none());
        for entry in subsystems {
            if stop.is_requested() {
                break;
            }
            match connect_entry(root, entry, &asked, options) {
                Ok(connection) => found.connections.push(connection),
                Err(error) => found.failures.push(format!(
                    "{} at {}: {}",
                    entry.subnqn,
                    entry.traddr,
                    chain(&error)
                )),
            }
        }
    }
    Ok(found)
}

fn connect_entry(
    root: &Path,
    entry: &DiscoveryEntry,
    asked: &ConnectOptions,
    wanted: &Options,
) -> Result<Connection, ConnectFailure> {
    let mut builder = entry.builder(asked);
    wanted.security.apply(&mut builder);
    let by_entry = builder.build()?.tokens();
    let disable_sqflow =
        wanted.tuning.disable_sqflow || by_entry.contains(TokenSet::DISABLE_SQFLOW);
    let options = builder
        .tuning(ConnectTuning {
            disable_sqflow,
            ..wanted.tuning
        })
        .build()?;
    let connected = Fabrics::at(root)
        .owned_by(Owner::Administrator)
        .connect(&options, wanted.dial_timeout)?;
    let tree = Sysfs::at(root).scan()?;
    connect::describe(root, &options, &connected, &tree)
}
