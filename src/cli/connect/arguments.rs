//! The options of `connect`: the kernel's tokens with dashes, and how long to wait.
//!
//! Invariant: what is not given is not sent, so the kernel's default holds (its defaults stand in
//! the help texts). Numbers are checked for their form here and for their range by
//! [`ConnectOptions`], the one place that knows the kernel's rules.

use std::time::Duration;

use nvme_fabrics::number::{NumberError, parse_timeout, parse_u32};
use nvme_fabrics::{
    ConnectOptions, ConnectOptionsBuilder, HostIdentity, KeySerial, ParseKeySerialError, Secret,
};
use nvme_sysfs::{Nqn, Transport, Uuid};
use thiserror::Error;

use super::secret::{SecretArgument, SecretError};
use super::tuning::TuningArguments;
use super::{ConnectFailure, Options, Then, Wait};
use crate::cli::output::Output;
use crate::cli::request::Request;
use crate::cli::resolve::Which;

/// Arguments of `connect`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// tcp, rdma, fc or loop
    #[arg(long, short = 't', value_parser = parse_transport)]
    transport: Transport,

    /// NQN of the subsystem
    #[arg(long, short = 'n')]
    nqn: Nqn,

    /// Print what the kernel would be asked, secrets masked, and do nothing
    #[arg(long)]
    dry_run: bool,

    // Before the groups: what follows one is listed under its heading.
    #[command(flatten)]
    pub(super) output: Output,

    #[command(flatten)]
    address: AddressArguments,

    #[command(flatten)]
    host: HostArguments,

    #[command(flatten)]
    tuning: TuningArguments,

    #[command(flatten)]
    kind: KindArguments,

    #[command(flatten)]
    security: SecurityArguments,

    #[command(flatten)]
    wait: WaitArguments,
}

/// Where to and from.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Address")]
pub(in crate::cli) struct AddressArguments {
    /// Address of the target: IPv4 or IPv6 (not a host name), or FC WWNs
    #[arg(long, short = 'a', value_name = "ADDRESS")]
    traddr: Option<String>,

    /// Port of the target [default for tcp and rdma: 4420; 8009 for a discovery controller over
    /// tcp]
    #[arg(long, short = 's', value_name = "PORT")]
    trsvcid: Option<String>,

    /// Source address, one of this host
    #[arg(long, short = 'w', value_name = "ADDRESS")]
    host_traddr: Option<String>,

    /// Source network interface
    #[arg(long, short = 'f', value_name = "INTERFACE")]
    host_iface: Option<String>,
}

/// Who we are.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Host identity")]
pub(in crate::cli) struct HostArguments {
    /// NQN of this host; needs --hostid, unless there is a UUID in it [default: /etc/nvme/hostnqn,
    /// else made from this machine's UUID]
    #[arg(long, short = 'q', value_name = "NQN")]
    hostnqn: Option<Nqn>,

    /// UUID of this host; needs --hostnqn [default: /etc/nvme/hostid, else the UUID in the host
    /// NQN]
    #[arg(long, short = 'I', value_name = "UUID")]
    hostid: Option<Uuid>,
}

/// What the kernel makes of the connect.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
struct KindArguments {
    /// Connect although this controller is connected
    #[arg(long, short = 'D')]
    duplicate_connect: bool,

    /// The NQN is a discovery controller's, although not the well-known one
    #[arg(long)]
    discovery: bool,
}

/// Authentication and encryption. Secrets come from files; one in place of its file is taken with a warning, because every
/// user of the machine can read an argument.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Security")]
pub(in crate::cli) struct SecurityArguments {
    /// File with the DH-HMAC-CHAP secret of this host; the secret itself (DHHC-1:…) is taken with a warning
    #[arg(long, short = 'S', alias = "dhchap-secret", value_name = "FILE")]
    dhchap_secret_file: Option<SecretArgument>,

    /// File with the DH-HMAC-CHAP secret that the controller must prove
    #[arg(long, short = 'C', alias = "dhchap-ctrl-secret", value_name = "FILE")]
    dhchap_ctrl_secret_file: Option<SecretArgument>,

    /// Encrypt with TLS (tcp)
    #[arg(long)]
    tls: bool,

    /// Serial number of the TLS key, decimal [kernel's default: found by the NQNs]
    #[arg(long, value_name = "SERIAL", value_parser = parse_key_serial, allow_hyphen_values = true)]
    tls_key: Option<KeySerial>,

    /// Serial number of the keyring with the TLS key, decimal [kernel's default: .nvme]
    #[arg(long, value_name = "SERIAL", value_parser = parse_key_serial, allow_hyphen_values = true)]
    keyring: Option<KeySerial>,

    /// Encrypt with TLS keys that come out of the authentication (tcp)
    #[arg(long)]
    concat: bool,
}

/// The same, with the secrets themselves: they are read once, for however many connections.
#[derive(Debug)]
pub(in crate::cli) struct Security {
    dhchap_secret: Option<Secret>,
    dhchap_ctrl_secret: Option<Secret>,
    tls: bool,
    tls_key: Option<KeySerial>,
    keyring: Option<KeySerial>,
    concat: bool,
}

/// How long to wait.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Waiting")]
struct WaitArguments {
    /// Seconds within which a TCP portal must answer before the kernel is asked to connect
    // 3 s is what the kernel itself would wait for a silent peer, while every other connect of the
    // host waits behind it.
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = parse_timeout, allow_hyphen_values = true)]
    dial_timeout: Duration,

    /// Wait until a namespace is usable: its device is there, and a live controller reaches it
    #[arg(long)]
    wait: bool,

    /// Most seconds to wait once connected
    // One minute covers the scan of a large subsystem and a failover of its target.
    #[arg(long, value_name = "SECONDS", default_value = "60", requires = "wait", value_parser = parse_timeout, allow_hyphen_values = true)]
    timeout: Duration,

    /// Which namespace to wait for
    #[command(flatten)]
    which: Which,
}

impl Arguments {
    /// Builds the kernel's options; secrets are read from their files.
    pub(super) fn into_options(self) -> Result<Options, ConnectFailure> {
        let mut builder = ConnectOptions::builder(self.transport, self.nqn);
        self.address.apply(&mut builder);
        self.host.apply(&mut builder);
        builder.tuning(self.tuning.0);
        self.kind.apply(&mut builder);
        self.security.read()?.apply(&mut builder);
        let request = Request::new(builder)?;
        let WaitArguments {
            dial_timeout,
            wait,
            timeout,
            which,
        } = self.wait;
        if wait && request.options().is_discovery() {
            return Err(ConnectFailure::NothingToWaitFor);
        }
        if !wait && which.is_given() {
            return Err(ConnectFailure::WhichWithoutWait);
        }
        Ok(Options {
            request,
            then: if self.dry_run {
                Then::Print
            } else {
                Then::Connect
            },
            dial_timeout,
            wait: wait.then(|| Wait {
                which: which.selector(),
                timeout,
            }),
        })
    }
}

impl AddressArguments {
    /// Hands what was given to the builder.
    pub(in crate::cli) fn apply(self, builder: &mut ConnectOptionsBuilder) {
        set(builder, self.traddr, ConnectOptionsBuilder::traddr);
        set(builder, self.trsvcid, ConnectOptionsBuilder::trsvcid);
        set(
            builder,
            self.host_traddr,
            ConnectOptionsBuilder::host_traddr,
        );
        set(builder, self.host_iface, ConnectOptionsBuilder::host_iface);
    }
}

impl HostArguments {
    /// Hands what was given to the builder. The identifier that belongs to an NQN with a UUID is that UUID.
    pub(in crate::cli) fn apply(self, builder: &mut ConnectOptionsBuilder) {
        let uuid = self.hostnqn.as_ref().and_then(HostIdentity::uuid_of);
        set(builder, self.hostid.or(uuid), ConnectOptionsBuilder::hostid);
        set(builder, self.hostnqn, ConnectOptionsBuilder::hostnqn);
    }
}

impl KindArguments {
    fn apply(self, builder: &mut ConnectOptionsBuilder) {
        use ConnectOptionsBuilder as B;
        let flags = [
            (self.duplicate_connect, B::duplicate_connect as Flag),
            (self.discovery, B::discovery),
        ];
        set_flags(builder, flags);
    }
}

impl SecurityArguments {
    /// Reads the secrets from their files.
    pub(in crate::cli) fn read(self) -> Result<Security, SecretError> {
        let read = |secret: &Option<SecretArgument>| {
            let secret = secret.as_ref().map(SecretArgument::read);
            secret.transpose()
        };
        Ok(Security {
            dhchap_secret: read(&self.dhchap_secret_file)?,
            dhchap_ctrl_secret: read(&self.dhchap_ctrl_secret_file)?,
            tls: self.tls,
            tls_key: self.tls_key,
            keyring: self.keyring,
            concat: self.concat,
        })
    }
}

impl Security {
    /// Hands what was given to the builder.
    pub(in crate::cli) fn apply(&self, builder: &mut ConnectOptionsBuilder) {
        use ConnectOptionsBuilder as B;
        set(builder, self.dhchap_secret.clone(), B::dhchap_secret);
        let ctrl_secret = self.dhchap_ctrl_secret.clone();
        set(builder, ctrl_secret, B::dhchap_ctrl_secret);
        set(builder, self.tls_key, B::tls_key);
        set(builder, self.keyring, B::keyring);
        set_flags(
            builder,
            [(self.tls, B::tls as Flag), (self.concat, B::concat)],
        );
    }
}

/// A setter that takes no value.
type Flag = fn(&mut ConnectOptionsBuilder) -> &mut ConnectOptionsBuilder;

fn set<T>(
    builder: &mut ConnectOptionsBuilder,
    value: Option<T>,
    setter: fn(&mut ConnectOptionsBuilder, T) -> &mut ConnectOptionsBuilder,
) {
    if let Some(value) = value {
        setter(builder, value);
    }
}

fn set_flags<const N: usize>(builder: &mut ConnectOptionsBuilder, flags: [(bool, Flag); N]) {
    for (_, setter) in flags.into_iter().filter(|(given, _)| *given) {
        setter(builder);
    }
}

/// The kernel's word as it stands; whether it is one that can be connected is decided by
/// [`ConnectOptions`].
pub(in crate::cli) fn parse_transport(text: &str) -> Result<Transport, std::convert::Infallible> {
    Ok(Transport::from(text))
}

/// Why a text is not the serial number of a key.
#[derive(Debug, Error)]
enum SerialError {
    /// Not a plain number.
    #[error(transparent)]
    Number(#[from] NumberError),
    /// Out of the kernel's range.
    #[error(transparent)]
    Serial(#[from] ParseKeySerialError),
}

fn parse_key_serial(text: &str) -> Result<KeySerial, SerialError> {
    parse_u32(text)?;
    Ok(text.parse()?)
}
