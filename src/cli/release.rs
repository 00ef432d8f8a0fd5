//! `release`: lets go of I/O that waits for a path, for whoever cannot wait: the shutdown of a node.
//!
//! Works without the plugin, by device-mapper and sysfs alone.

use std::io::{self, Write};
use std::time::Duration;

use nvme_fabrics::Owner;
use nvme_sysfs::Nqn;
use serde::Serialize;

use super::command::Command;
use super::exit::{Exit, Failure};
use super::line::write_line;
use super::output::{Format, Output, Report, write_json};
use super::state_dir::StateDir;
use crate::config::Config;
use crate::host::{LinuxHost, MapId, Timeouts};
use crate::volume::hold::{Recorded, ReleaseError, release};

/// How long a controller may take to be gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// Arguments of `release`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What to let go of
    #[command(flatten)]
    which: Which,

    #[command(flatten)]
    state_dir: StateDir,

    #[command(flatten)]
    output: Output,
}

/// One subsystem or all: both options stand in what is said of a missing one.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Let go of the volumes of this subsystem
    #[arg(long, value_name = "NQN")]
    nqn: Option<Nqn>,

    /// Let go of every volume of this node
    #[arg(long)]
    all: bool,
}

/// What is let go of.
#[derive(Debug)]
pub struct Options {
    nqn: Option<Nqn>,
    state_dir: StateDir,
}

/// What was let go of.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub struct Listed {
    /// Names of the maps.
    maps: Vec<String>,
    /// The controllers that were deleted.
    controllers: Vec<String>,
}

impl Failure for ReleaseError {
    fn exit(&self) -> Exit {
        Exit::Failed
    }
}

impl Command for Arguments {
    type Options = Options;
    type Report = Listed;
    type Failure = ReleaseError;

    fn format(&self) -> Format {
        self.output.format
    }

    fn options(self) -> Result<Options, ReleaseError> {
        Ok(Options {
            nqn: self.which.nqn,
            state_dir: self.state_dir,
        })
    }

    fn run(config: &Config, options: Options) -> Result<Listed, ReleaseError> {
        let timeouts = Timeouts {
            disconnect: PATIENCE,
            ..Timeouts::default()
        };
        let host = LinuxHost::new(&config.root, Owner::Administrator, timeouts);
        let records = options.state_dir.records(&config.root);
        let recorded = Recorded {
            known: &records.all,
            unknown: &records.unknown,
        };
        let released = release(&config.root, &host, recorded, options.nqn.as_ref())?;
        Ok(Listed {
            maps: released.maps.into_iter().map(MapId::name).collect(),
            controllers: released
                .controllers
                .iter()
                .map(ToString::to_string)
                .collect(),
        })
    }
}

impl Report for Listed {
    fn write(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        if format == Format::Json {
            return write_json(self, out);
        }
        for map in &self.maps {
            write_line(out, format_args!("{map} lets I/O fail"))?;
        }
        for controller in &self.controllers {
            write_line(out, format_args!("deleted {controller}"))?;
        }
        if self.maps.is_empty() && self.controllers.is_empty() {
            write_line(out, format_args!("nothing was held"))?;
        }
        Ok(())
    }
}
