//! `resolve`: which device a namespace is, by the NQN of its subsystem and its own identity.
//!
//! Invariant: only a disk is printed, never the hidden path form `nvmeXcYnZ`; if several namespaces
//! match, none is.

use std::io::{self, Write};

use nvme_sysfs::{
    AmbiguousNamespace, Eui64, FindNamespaceError, NamespaceSelector, Nguid, Nqn, Nsid, ScanError,
    Sysfs, Uuid,
};
use thiserror::Error;

use super::command::Command;
use super::device::{Device, DeviceError};
use super::exit::{Exit, Failure};
use super::output::{Format, Output, Report, write_json};
use crate::config::Config;
use crate::namespace_id::{parse_eui64, parse_nguid, parse_uuid};
use nvme_fabrics::number::{NumberError, parse_u32};

/// Arguments of `resolve`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// NQN of the subsystem
    #[arg(long)]
    nqn: Nqn,

    /// Which namespace
    #[command(flatten)]
    namespace: Which,

    #[command(flatten)]
    output: Output,
}

/// Which namespace of a subsystem is meant.
#[derive(Debug, Clone, Copy, clap::Args)]
#[group(multiple = false)]
pub(crate) struct Which {
    /// UUID of the namespace, or what the kernel shows for want of one (the NGUID); without any of these the subsystem must
    /// have only one namespace
    #[arg(long, value_parser = parse_uuid)]
    uuid: Option<Uuid>,

    /// NGUID of the namespace: 32 hexadecimal digits
    #[arg(long, value_parser = parse_nguid)]
    nguid: Option<Nguid>,

    /// EUI-64 of the namespace: 16 hexadecimal digits
    #[arg(long, value_parser = parse_eui64)]
    eui64: Option<Eui64>,

    /// Number of the namespace within its subsystem
    #[arg(long, value_name = "NUMBER", value_parser = parse_nsid, allow_hyphen_values = true)]
    nsid: Option<Nsid>,
}

impl Which {
    /// Whether the command line says anything about it.
    pub(crate) fn is_given(self) -> bool {
        self.selector() != NamespaceSelector::Only
    }

    /// The selector that the options stand for; clap lets only one of them be given.
    pub(crate) fn selector(self) -> NamespaceSelector {
        let given = [
            self.uuid.map(NamespaceSelector::Uuid),
            self.nguid.map(NamespaceSelector::Nguid),
            self.eui64.map(NamespaceSelector::Eui64),
            self.nsid.map(NamespaceSelector::Nsid),
        ];
        let given = given.into_iter().flatten().next();
        given.unwrap_or(NamespaceSelector::Only)
    }
}

/// What is looked for.
#[derive(Debug)]
pub struct Options {
    nqn: Nqn,
    which: NamespaceSelector,
}

/// Why there is no device to print.
#[derive(Debug, Error)]
pub enum ResolveError {
    /// Nothing is connected to that subsystem.
    #[error("this host has no subsystem {nqn}")]
    NoSubsystem {
        /// What was asked for.
        nqn: Nqn,
    },
    /// The subsystem has no such namespace.
    #[error("subsystem {nqn} has no {}", describe(which))]
    NoNamespace {
        /// The subsystem.
        nqn: Nqn,
        /// Which namespace was asked for.
        which: NamespaceSelector,
    },
    /// More than one namespace matches.
    #[error(transparent)]
    Ambiguous(AmbiguousNamespace),
    /// One that may be meant cannot be read.
    #[error("cannot tell which namespace it is")]
    Unknown(#[source] ScanError),
    /// The device node is not the namespace's.
    #[error("the device node is wrong")]
    Device(#[from] DeviceError),
    /// sysfs cannot be read.
    #[error("cannot read the NVMe devices")]
    Scan(#[from] ScanError),
}

impl From<FindNamespaceError> for ResolveError {
    fn from(error: FindNamespaceError) -> ResolveError {
        match error {
            FindNamespaceError::Ambiguous(error) => ResolveError::Ambiguous(error),
            FindNamespaceError::Unknown(error) => ResolveError::Unknown(error),
        }
    }
}

impl Failure for ResolveError {
    fn exit(&self) -> Exit {
        match self {
            ResolveError::NoSubsystem { .. } | ResolveError::NoNamespace { .. } => Exit::NotFound,
            ResolveError::Ambiguous(_)
            | ResolveError::Unknown(_)
            | ResolveError::Device(_)
            | ResolveError::Scan(_) => Exit::Failed,
        }
    }

    fn remedy(&self) -> Option<String> {
        let text = match self {
            ResolveError::NoSubsystem { .. } => {
                "connect first; `nvmeof-csi list-subsys` shows what is connected"
            }
            ResolveError::NoNamespace { .. } => {
                "`nvmeof-csi list-subsys` shows the namespaces that this host sees"
            }
            ResolveError::Ambiguous(_) => "say which one with --uuid, --nguid, --eui64 or --nsid",
            ResolveError::Device(_) => "remove the wrong node below /dev, or mount devtmpfs there",
            ResolveError::Scan(_) | ResolveError::Unknown(_) => return None,
        };
        Some(text.to_owned())
    }
}

impl Command for Arguments {
    type Options = Options;
    type Report = Device;
    type Failure = ResolveError;

    fn format(&self) -> Format {
        self.output.format
    }

    fn options(self) -> Result<Options, ResolveError> {
        Ok(Options {
            nqn: self.nqn,
            which: self.namespace.selector(),
        })
    }

    fn run(config: &Config, options: Options) -> Result<Device, ResolveError> {
        let Options { nqn, which } = options;
        let tree = Sysfs::at(&config.root).scan()?;
        if let Some(namespace) = tree.find_namespace(&nqn, &which)? {
            return Ok(Device::of(&config.root, namespace)?);
        }
        if tree.find_subsystems(&nqn).next().is_none() {
            return Err(ResolveError::NoSubsystem { nqn });
        }
        Err(ResolveError::NoNamespace { nqn, which })
    }
}

impl Report for Device {
    fn write(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Human => writeln!(out, "{}", self.device.display()),
            Format::Json => write_json(self, out),
        }
    }
}

/// The namespace that a selector asks for, in words.
pub(crate) fn describe(which: &NamespaceSelector) -> String {
    match which {
        NamespaceSelector::Only => "namespace".to_owned(),
        NamespaceSelector::Nsid(nsid) => format!("namespace number {}", nsid.get()),
        NamespaceSelector::Uuid(uuid) => format!("namespace with UUID {uuid}"),
        NamespaceSelector::Nguid(nguid) => format!("namespace with NGUID {nguid}"),
        NamespaceSelector::Eui64(eui64) => format!("namespace with EUI-64 {eui64}"),
    }
}

/// Why a text is not the number of a namespace.
#[derive(Debug, Error)]
pub(crate) enum NsidError {
    /// Not a plain number.
    #[error(transparent)]
    Number(#[from] NumberError),
    /// Zero.
    #[error("no namespace has the number 0")]
    Zero,
}

fn parse_nsid(text: &str) -> Result<Nsid, NsidError> {
    parse_u32(text)?;
    text.parse().map_err(|_| NsidError::Zero)
}
