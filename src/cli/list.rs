//! `list`: the NVMe disks of this host, local ones too, with what they are.
//!
//! Invariant: no disk is asked anything; all of it is what sysfs shows. What cannot be read is told in the log and stands
//! as `unknown` beside its disk.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nvme_sysfs::{Namespace, NamespaceKind, ScanError, Subsystem, Sysfs, Tree, Unknown};
use serde::Serialize;
use thiserror::Error;

use super::command::Command;
use super::device::human_size;
use super::exit::{Exit, Failure};
use super::line::write_line;
use super::list_subsys::{identifiers, tell_unknown};
use super::output::{Format, Output, Report, write_json};
use crate::config::Config;

/// Arguments of `list`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    output: Output,
}

/// Every disk.
#[derive(Debug, Serialize)]
pub struct Disks(Vec<Disk>);

/// One disk.
#[derive(Debug, Clone, Serialize)]
pub struct Disk {
    /// Path of its node, below the root.
    pub(super) device: PathBuf,
    /// Name of its subsystem.
    pub(super) nqn: String,
    /// Model number.
    pub(super) model: Option<String>,
    /// Serial number.
    pub(super) serial: Option<String>,
    /// Firmware revision.
    pub(super) firmware: Option<String>,
    /// Number within the subsystem.
    pub(super) nsid: Option<u32>,
    /// UUID.
    pub(super) uuid: Option<String>,
    /// NGUID.
    pub(super) nguid: Option<String>,
    /// EUI-64.
    pub(super) eui64: Option<String>,
    /// Size in bytes.
    pub(super) size_bytes: u64,
    /// Bytes of a logical block.
    pub(super) block_bytes: Option<u32>,
    /// Bytes of metadata per logical block.
    pub(super) metadata_bytes: Option<u32>,
    /// Whether it refuses writes.
    pub(super) read_only: Option<bool>,
    /// The controllers through which it is reached, or would be if they were live.
    pub(super) controllers: Vec<String>,
    /// What of it cannot be read.
    pub(super) unknown: Vec<String>,
    #[serde(skip)]
    identifiers: String,
}

/// Why nothing can be listed.
#[derive(Debug, Error)]
pub enum ListDisksError {
    /// sysfs cannot be read.
    #[error("cannot read the NVMe devices")]
    Scan(#[from] ScanError),
}

impl Failure for ListDisksError {
    fn exit(&self) -> Exit {
        Exit::Failed
    }
}

impl Command for Arguments {
    type Options = ();
    type Report = Disks;
    type Failure = ListDisksError;

    fn format(&self) -> Format {
        self.output.format
    }

    fn options(self) -> Result<(), ListDisksError> {
        Ok(())
    }

    fn run(config: &Config, (): ()) -> Result<Disks, ListDisksError> {
        let tree = Sysfs::at(&config.root).scan()?;
        tell_unknown(tree.unknown());
        let disks = tree.subsystems.iter().flat_map(|subsystem| {
            let disks = subsystem.namespaces.iter();
            disks.map(|disk| Disk::of(&config.root, (&tree, subsystem), disk))
        });
        Ok(Disks(disks.collect()))
    }
}

impl Disk {
    /// What sysfs shows of a disk.
    pub(super) fn of(
        root: &Path,
        (tree, subsystem): (&Tree, &Subsystem),
        disk: &Namespace,
    ) -> Disk {
        let identity = &disk.identity;
        // A drive's subsystem has them, too; a disk of one controller is told by that one.
        let own = match disk.kind {
            NamespaceKind::Disk(owner) => tree.find_controller(owner),
            NamespaceKind::Head => None,
        };
        let firmware = own.and_then(|own| own.firmware_rev.as_ref());
        Disk {
            device: root.join("dev").join(&disk.name),
            nqn: subsystem.nqn_text.clone(),
            model: subsystem.model.clone(),
            serial: subsystem.serial.clone(),
            firmware: firmware.or(subsystem.firmware_rev.as_ref()).cloned(),
            nsid: identity.nsid.map(|nsid| nsid.get()),
            uuid: identity.uuid.map(|uuid| uuid.to_string()),
            nguid: identity.nguid.map(|nguid| nguid.to_string()),
            eui64: identity.eui64.map(|eui64| eui64.to_string()),
            size_bytes: disk.size_bytes,
            block_bytes: disk.logical_block_size,
            metadata_bytes: disk.metadata_bytes,
            read_only: disk.read_only,
            controllers: tree
                .carriers_of(disk)
                .map(|carrier| carrier.instance.to_string())
                .collect(),
            unknown: disk.unknown.iter().map(Unknown::to_string).collect(),
            identifiers: identifiers(identity),
        }
    }

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let size = human_size(self.size_bytes);
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let format = match (self.block_bytes, self.metadata_bytes) {
            (Some(block), Some(metadata)) if metadata > 0 => format!("{block}+{metadata} B"),
            (Some(block), _) => format!("{block} B"),
            (None, _) => "-".to_owned(),
        };
        let read_only = match self.read_only {
            Some(true) => " read-only",
            Some(false) | None => "",
        };
        write_line(
            out,
            format_args!(
                "{} {size} {format} \"{}\" serial {}{}{read_only}",
                self.device.display(),
                or_dash(&self.model),
                or_dash(&self.serial),
                self.identifiers,
            ),
        )?;
        let mut unknown = self.unknown.iter();
        unknown.try_for_each(|unknown| write_line(out, format_args!("  unknown: {unknown}")))
    }
}

impl Report for Disks {
    fn write(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Json => write_json(self, out),
            Format::Human if self.0.is_empty() => write_line(out, format_args!("no NVMe disks")),
            Format::Human => self.0.iter().try_for_each(|disk| disk.human(out)),
        }
    }
}
