//! The options of `connect`: the kernel's tokens with dashes, and how long to wait.
//!
//! Invariant: what is not given is not sent, so the kernel's default holds (its defaults stand in
//! the help texts). Numbers are checked for their form here and for their range by
//! [`ConnectOptions`], the one place that knows the kernel's rules.

use std::path::PathBuf;
use std::time::Duration;

use nvme_fabrics::{ConnectOptions, ConnectOptionsBuilder, KeySerial, ParseKeySerialError, Secret};
use nvme_sysfs::{ControllerLoss, FastIoFail, Nqn, Transport, Uuid};
use thiserror::Error;

use super::{ConnectFailure, Options, Wait};
use crate::cli::output::Output;
use crate::cli::request::Request;
use crate::cli::resolve::Which;
use crate::number::{
    NumberError, parse_seconds, parse_seconds_or_minus_one, parse_timeout, parse_u8, parse_u32,
};

/// Arguments of `connect`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// tcp, rdma, fc or loop
    #[arg(long, short = 't', value_parser = parse_transport)]
    transport: Transport,

    /// NQN of the subsystem
    #[arg(long, short = 'n')]
    nqn: Nqn,

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
    #[arg(long, value_name = "ADDRESS")]
    host_traddr: Option<String>,

    /// Source network interface
    #[arg(long, value_name = "INTERFACE")]
    host_iface: Option<String>,
}

/// Who we are.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Host identity")]
pub(in crate::cli) struct HostArguments {
    /// NQN of this host; needs --hostid [default: /etc/nvme/hostnqn, else made from this machine's
    /// UUID]
    #[arg(long, value_name = "NQN")]
    hostnqn: Option<Nqn>,

    /// UUID of this host; needs --hostnqn [default: /etc/nvme/hostid, else the UUID in the host
    /// NQN]
    #[arg(long, value_name = "UUID")]
    hostid: Option<Uuid>,
}

/// How the connection behaves.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
struct TuningArguments {
    /// Seconds after which a lost controller is given up; -1: never [kernel's default: 600]
    #[arg(long, value_name = "SECONDS", value_parser = parse_controller_loss, allow_hyphen_values = true)]
    ctrl_loss_tmo: Option<ControllerLoss>,

    /// Seconds between attempts to reconnect, 1 to 65535 [kernel's default: 10]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds, allow_hyphen_values = true)]
    reconnect_delay: Option<Duration>,

    /// Seconds after which I/O on a lost path fails; -1: only with the controller [kernel's
    /// default: -1]
    #[arg(long, value_name = "SECONDS", value_parser = parse_fast_io_fail, allow_hyphen_values = true)]
    fast_io_fail_tmo: Option<FastIoFail>,

    /// Seconds between keep-alive commands, 1 to 65535 [kernel's default: 5]
    #[arg(long, short = 'k', value_name = "SECONDS", value_parser = parse_seconds, allow_hyphen_values = true)]
    keep_alive_tmo: Option<Duration>,

    /// I/O queues, 1 to 65535 [kernel's default: one per CPU]
    #[arg(long, short = 'i', value_name = "COUNT", value_parser = parse_u32, allow_hyphen_values = true)]
    nr_io_queues: Option<u32>,

    /// Additional queues for writes, 1 to 65535
    #[arg(long, value_name = "COUNT", value_parser = parse_u32, allow_hyphen_values = true)]
    nr_write_queues: Option<u32>,

    /// Additional polled queues, 1 to 65535
    #[arg(long, value_name = "COUNT", value_parser = parse_u32, allow_hyphen_values = true)]
    nr_poll_queues: Option<u32>,

    /// Entries of a queue, 16 to 1024 [kernel's default: 128]
    #[arg(long, value_name = "COUNT", value_parser = parse_u32, allow_hyphen_values = true)]
    queue_size: Option<u32>,

    /// IP type of service, 0 to 255
    #[arg(long, value_name = "NUMBER", value_parser = parse_u8, allow_hyphen_values = true)]
    tos: Option<u8>,

    /// Checksum over PDU headers (tcp)
    #[arg(long)]
    hdr_digest: bool,

    /// Checksum over PDU data (tcp)
    #[arg(long)]
    data_digest: bool,

    /// Turn submission queue flow control off
    #[arg(long)]
    disable_sqflow: bool,

    /// Connect although this controller is connected
    #[arg(long)]
    duplicate_connect: bool,

    /// The NQN is a discovery controller's, although not the well-known one
    #[arg(long)]
    discovery: bool,
}

/// Authentication and encryption. Secrets come from files: an argument can be read by every user of
/// the machine.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Security")]
struct SecurityArguments {
    /// File with the DH-HMAC-CHAP secret of this host (DHHC-1:…)
    #[arg(long, value_name = "FILE")]
    dhchap_secret_file: Option<PathBuf>,

    /// File with the DH-HMAC-CHAP secret that the controller must prove
    #[arg(long, value_name = "FILE")]
    dhchap_ctrl_secret_file: Option<PathBuf>,

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
        self.tuning.apply(&mut builder);
        self.security.apply(&mut builder)?;
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
    /// Hands what was given to the builder.
    pub(in crate::cli) fn apply(self, builder: &mut ConnectOptionsBuilder) {
        set(builder, self.hostnqn, ConnectOptionsBuilder::hostnqn);
        set(builder, self.hostid, ConnectOptionsBuilder::hostid);
    }
}

impl TuningArguments {
    fn apply(self, builder: &mut ConnectOptionsBuilder) {
        use ConnectOptionsBuilder as B;
        set(builder, self.ctrl_loss_tmo, B::ctrl_loss_tmo);
        set(builder, self.reconnect_delay, B::reconnect_delay);
        set(builder, self.fast_io_fail_tmo, B::fast_io_fail_tmo);
        set(builder, self.keep_alive_tmo, B::keep_alive_tmo);
        set(builder, self.nr_io_queues, B::nr_io_queues);
        set(builder, self.nr_write_queues, B::nr_write_queues);
        set(builder, self.nr_poll_queues, B::nr_poll_queues);
        set(builder, self.queue_size, B::queue_size);
        set(builder, self.tos, B::tos);
        let flags = [
            (self.hdr_digest, B::hdr_digest as Flag),
            (self.data_digest, B::data_digest),
            (self.disable_sqflow, B::disable_sqflow),
            (self.duplicate_connect, B::duplicate_connect),
            (self.discovery, B::discovery),
        ];
        set_flags(builder, flags);
    }
}

impl SecurityArguments {
    fn apply(self, builder: &mut ConnectOptionsBuilder) -> Result<(), ConnectFailure> {
        use ConnectOptionsBuilder as B;
        let read = |file: Option<PathBuf>| file.map(Secret::from_file).transpose();
        set(builder, read(self.dhchap_secret_file)?, B::dhchap_secret);
        set(
            builder,
            read(self.dhchap_ctrl_secret_file)?,
            B::dhchap_ctrl_secret,
        );
        set(builder, self.tls_key, B::tls_key);
        set(builder, self.keyring, B::keyring);
        set_flags(
            builder,
            [(self.tls, B::tls as Flag), (self.concat, B::concat)],
        );
        Ok(())
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

pub(in crate::cli) fn parse_controller_loss(text: &str) -> Result<ControllerLoss, NumberError> {
    let limit = parse_seconds_or_minus_one(text)?;
    Ok(limit.map_or(ControllerLoss::Never, ControllerLoss::After))
}

pub(in crate::cli) fn parse_fast_io_fail(text: &str) -> Result<FastIoFail, NumberError> {
    let limit = parse_seconds_or_minus_one(text)?;
    Ok(limit.map_or(FastIoFail::Off, FastIoFail::After))
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
