//! `gen-hostnqn`: a host identity for this machine, of its firmware's UUID or a new random one.
//!
//! Invariant: nothing is stored, and what is configured is not looked at.

use std::io::{self, Write};

use nvme_fabrics::{HostIdentity, IdentityError};
use serde::Serialize;

use super::command::Command;
use super::exit::{Exit, Failure};
use super::output::{Format, Output, Report, write_json};
use crate::config::Config;

/// Arguments of `gen-hostnqn`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    output: Output,
}

/// The pair.
#[derive(Debug, Serialize)]
pub struct Generated {
    hostnqn: String,
    hostid: String,
}

impl Failure for IdentityError {
    fn exit(&self) -> Exit {
        Exit::Failed
    }
}

impl Command for Arguments {
    type Options = ();
    type Report = Generated;
    type Failure = IdentityError;

    fn format(&self) -> Format {
        self.output.format
    }

    fn options(self) -> Result<(), IdentityError> {
        Ok(())
    }

    fn run(config: &Config, (): ()) -> Result<Generated, IdentityError> {
        let HostIdentity { hostnqn, hostid } = HostIdentity::of_machine(&config.root)?;
        Ok(Generated {
            hostnqn: hostnqn.to_string(),
            hostid: hostid.to_string(),
        })
    }
}

impl Report for Generated {
    fn write(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Human => writeln!(out, "{}", self.hostnqn),
            Format::Json => write_json(self, out),
        }
    }
}
