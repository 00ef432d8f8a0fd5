//! `list`: the NVMe disks of this host, local ones too, with what they are.
//!
//! Invariant: no disk is asked anything; all of it is what sysfs shows. What cannot be read is told in the log and stands
//! as `unknown` beside its disk.

use std::io::{self, Write};

use nvme_sysfs::{ScanError, Sysfs};
use serde::Serialize;
use thiserror::Error;

use super::command::Command;
use super::disk::Disk;
use super::exit::{Exit, Failure};
use super::line::write_line;
use super::output::{Format, Output, Report, write_json};
use super::unknown::tell_unknown;
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

impl Report for Disks {
    fn write(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Json => write_json(self, out),
            Format::Human if self.0.is_empty() => write_line(out, format_args!("no NVMe disks")),
            Format::Human => self.0.iter().try_for_each(|disk| disk.human(out)),
        }
    }
}
