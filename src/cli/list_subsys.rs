//! `list-subsys`: subsystems with their controllers and namespaces.
//!
//! Invariant: the JSON form reads only what it prints.

mod hosts;
mod tree;

use std::io::{self, Write};
use std::path::Path;

use nvme_fabrics::HostIdentity;
use nvme_sysfs::{ScanError, Sysfs, Tree};
use thiserror::Error;

use super::Command;
use super::exit::{Exit, Failure};
use super::output::{Format, Output, Report, write_json};
use crate::config::Config;
use hosts::arrange;
use tree::write_tree;

pub use hosts::Host;

/// Arguments of `list-subsys`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    output: Output,
}

/// What was found, as much as the form needs.
#[derive(Debug)]
pub enum Listing {
    /// For people: everything.
    Tree(Tree),
    /// For programs.
    Hosts(Vec<Host>),
}

/// Why nothing can be listed.
#[derive(Debug, Error)]
pub enum ListError {
    /// sysfs cannot be read.
    #[error("cannot read the NVMe devices")]
    Scan(#[from] ScanError),
}

impl Failure for ListError {
    fn exit(&self) -> Exit {
        Exit::Failed
    }
}

impl Command for Arguments {
    type Options = Format;
    type Report = Listing;
    type Failure = ListError;

    fn format(&self) -> Format {
        self.output.format
    }

    fn options(self) -> Result<Format, ListError> {
        Ok(self.output.format)
    }

    fn run(config: &Config, format: Format) -> Result<Listing, ListError> {
        let sysfs = Sysfs::at(&config.root);
        Ok(match format {
            Format::Human => Listing::Tree(sysfs.scan()?),
            Format::Json => Listing::Hosts(arrange(sysfs.list()?, || own_identity(&config.root))),
        })
    }
}

/// This host's identity if it has one; a listing makes none.
fn own_identity(root: &Path) -> Option<HostIdentity> {
    HostIdentity::load(root).map(|loaded| loaded.identity).ok()
}

impl Report for Listing {
    fn write(&self, _: Format, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Listing::Hosts(hosts) => write_json(hosts, out),
            Listing::Tree(tree) => write_tree(tree, out),
        }
    }
}
