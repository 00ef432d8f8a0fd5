//! `discover`: what a discovery controller, and those it refers to, say there is to connect to;
//! with `--connect`, connects it all.
//!
//! Invariant: a referral or a subsystem that fails is part of the result, and of the exit code; it
//! never hides what the others said.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use nvme_fabrics::{
    ConnectOptions, ConnectTuning, DiscoverError, Discovery, DiscoveryEntry, Fabrics, OptionsError,
    Owner, SecureChannel, Subtype, TcpSecurity, TokenSet,
};
use nvme_sysfs::{Nqn, ScanError, Sysfs, Transport};
use serde::Serialize;
use thiserror::Error;

use super::command::Command;
use super::connect::arguments::{
    AddressArguments, HostArguments, SecurityArguments, parse_transport,
};
use super::connect::tuning::TuningArguments;
use super::connect::{self, ConnectFailure, Connection, SecretError};
use super::exit::{Exit, Failure, chain};
use super::interrupt::{self, Ended, InterruptError, Stop};
use super::line::write_line;
use super::output::{Format, Output, Report, write_json};
use super::request::{Request, RequestError};
use crate::config::Config;
use nvme_fabrics::number::parse_timeout;

/// Arguments of `discover`.
#[derive(Debug, clap::Args)]
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
    security: SecurityArguments,
    then: Then,
}

/// What was found, and what came of connecting it.
#[derive(Debug, Serialize)]
pub struct Found {
    entries: Vec<Entry>,
    connections: Vec<Connection>,
    failures: Vec<String>,
}

/// One entry of a discovery log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Entry {
    /// `nvm`, `referral`, `discovery` or a number.
    subtype: String,
    transport: String,
    traddr: String,
    trsvcid: String,
    nqn: String,
    portid: u16,
    /// Whether a secure channel is needed: `not specified`, `required`, `not required` or `reserved`, as nvme-cli says it.
    treq: &'static str,
    /// Security of TCP: `none`, `tls`, `tls13` or a number; absent for other transports.
    sectype: Option<String>,
    /// Why this host cannot connect it.
    skipped: Option<&'static str>,
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
        self.security.apply(&mut builder)?;
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
            security: self.security,
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
    wanted.security.apply(&mut builder)?;
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

impl Found {
    fn of(
        discovery: &Discovery,
        unusable: impl Fn(&DiscoveryEntry) -> Option<&'static str>,
    ) -> Found {
        let entry = |entry: &DiscoveryEntry| Entry {
            skipped: unusable(entry),
            ..Entry::from(entry)
        };
        let failures = discovery.failures.iter().map(chain);
        let malformed = discovery.malformed.iter().map(ToString::to_string);
        Found {
            entries: discovery.entries.iter().map(entry).collect(),
            connections: Vec::new(),
            failures: failures.chain(malformed).collect(),
        }
    }
}

impl From<&DiscoveryEntry> for Entry {
    fn from(entry: &DiscoveryEntry) -> Entry {
        Entry {
            subtype: match entry.subtype {
                Subtype::Nvm => "nvm".to_owned(),
                Subtype::Referral => "referral".to_owned(),
                Subtype::CurrentDiscovery => "discovery".to_owned(),
                Subtype::Other(number) => number.to_string(),
            },
            transport: entry.transport.to_string(),
            traddr: entry.traddr.clone(),
            trsvcid: entry.trsvcid.clone(),
            nqn: entry.subnqn.to_string(),
            portid: entry.portid,
            treq: match entry.secure_channel {
                SecureChannel::NotSpecified => "not specified",
                SecureChannel::Required => "required",
                SecureChannel::NotRequired => "not required",
                SecureChannel::Reserved => "reserved",
            },
            sectype: entry.sectype.map(|sectype| match sectype {
                TcpSecurity::None => "none".to_owned(),
                TcpSecurity::Tls12 => "tls".to_owned(),
                TcpSecurity::Tls13 => "tls13".to_owned(),
                TcpSecurity::Other(number) => number.to_string(),
            }),
            skipped: None,
        }
    }
}

impl Report for Found {
    fn write(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Json => write_json(self, out),
            Format::Human => self.human(out),
        }
    }

    fn exit(&self) -> Exit {
        if self.failures.is_empty() {
            Exit::Done
        } else {
            Exit::Failed
        }
    }
}

impl Found {
    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.entries.is_empty() {
            writeln!(out, "the discovery log is empty")?;
        }
        self.entries.iter().try_for_each(|entry| entry.human(out))?;
        for connection in &self.connections {
            connection.human(out)?;
        }
        self.failures
            .iter()
            .try_for_each(|failure| write_line(out, format_args!("failed: {failure}")))
    }
}

impl Entry {
    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let Entry {
            subtype,
            transport,
            traddr,
            trsvcid,
            nqn,
            treq,
            ..
        } = self;
        let sectype = self.sectype.as_ref();
        let sectype = sectype.map(|sectype| format!(", sectype {sectype}"));
        let skipped = self.skipped.map(|why| format!(", skipped: {why}"));
        let (sectype, skipped) = (sectype.unwrap_or_default(), skipped.unwrap_or_default());
        write_line(
            out,
            format_args!(
                "{subtype} {transport} {traddr} {trsvcid} {nqn}, treq {treq}{sectype}{skipped}"
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of 1024 bytes, as a target sends it.
    fn record(trtype: u8, treq: u8, sectype: u8, traddr: &str) -> DiscoveryEntry {
        let mut bytes = [0; 1024];
        bytes[..4].copy_from_slice(&[trtype, 1, 2, treq]);
        for (start, text) in [
            (32, "4420"),
            (256, "nqn.2026-01.org.example:a"),
            (512, traddr),
        ] {
            bytes[start..start + text.len()].copy_from_slice(text.as_bytes());
        }
        bytes[768] = sectype;
        DiscoveryEntry::decode(0, &bytes).expect("a record")
    }

    fn found() -> Found {
        let discovery = Discovery {
            entries: vec![
                record(2, 0, 0, "nn-0x1,pn-0x2"),
                record(3, 1, 2, "192.0.2.1"),
            ],
            ..Discovery::default()
        };
        let is_fc = |entry: &DiscoveryEntry| entry.transport == Transport::Fc;
        Found::of(&discovery, |entry| is_fc(entry).then_some("no port"))
    }

    #[test]
    fn a_record_that_this_host_cannot_use_is_shown_as_skipped_and_no_failure() {
        assert_eq!(found().exit(), Exit::Done);
        let mut out = Vec::new();
        found()
            .write(Format::Human, &mut out)
            .expect("a Vec takes everything");
        let text = String::from_utf8(out).expect("UTF-8");
        let nqn = "nqn.2026-01.org.example:a";
        let expected = format!(
            "nvm fc nn-0x1:pn-0x2 4420 {nqn}, treq not specified, skipped: no port\n\
             nvm tcp 192.0.2.1 4420 {nqn}, treq required, sectype tls13\n"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn programs_get_security_and_what_is_skipped_by_name() {
        let value = serde_json::to_value(found()).expect("JSON");
        let [fc, tcp] = [&value["entries"][0], &value["entries"][1]];
        assert_eq!(
            (&fc["skipped"], &fc["treq"]),
            (&"no port".into(), &"not specified".into())
        );
        assert_eq!(
            (&tcp["treq"], &tcp["sectype"]),
            (&"required".into(), &"tls13".into())
        );
        assert!(tcp["skipped"].is_null() && fc["sectype"].is_null());
    }
}
