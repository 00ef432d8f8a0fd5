//! `list-subsys`: subsystems with their controllers and namespaces, and the volumes on them.
//!
//! Invariants: the JSON form reads only what it prints; volumes that cannot be read are told of in the
//! log and keep nothing else from being listed.

mod hosts;
mod tree;
mod volumes;

use std::io::{self, Write};
use std::path::Path;

use nvme_fabrics::HostIdentity;
use nvme_sysfs::{ScanError, Sysfs, Tree, Unknown};
use thiserror::Error;

use super::command::Command;
use super::exit::{Exit, Failure};
use super::output::{Format, Output, Report, write_json};
use super::state_dir::StateDir;
use crate::config::Config;
use crate::volume::Surveyed;
use hosts::{add_volumes, arrange};
use tree::write_tree;

pub use hosts::Host;

/// Arguments of `list-subsys`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    state_dir: StateDir,
}

/// What to list.
#[derive(Debug)]
pub struct Options {
    format: Format,
    state_dir: StateDir,
}

/// What was found, as much as the form needs.
#[derive(Debug)]
pub enum Listing {
    /// For people: everything.
    Tree(Tree, Vec<Surveyed>),
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
    type Options = Options;
    type Report = Listing;
    type Failure = ListError;

    fn format(&self) -> Format {
        self.output.format
    }

    fn options(self) -> Result<Options, ListError> {
        Ok(Options {
            format: self.output.format,
            state_dir: self.state_dir,
        })
    }

    fn run(config: &Config, options: Options) -> Result<Listing, ListError> {
        let sysfs = Sysfs::at(&config.root);
        let own = || own_identity(&config.root);
        let volumes = || read_volumes(&config.root, &options.state_dir);
        Ok(match options.format {
            Format::Human => {
                let tree = sysfs.scan()?;
                tell_unknown(tree.unknown());
                Listing::Tree(tree, volumes())
            }
            Format::Json => {
                let listing = sysfs.list()?;
                tell_unknown(&listing.unknown);
                Listing::Hosts(add_volumes(arrange(listing.hosts, own), volumes(), own))
            }
        })
    }
}

/// What could not be read is told of; the rest is listed.
fn tell_unknown<'a>(unknown: impl IntoIterator<Item = &'a Unknown>) {
    for unknown in unknown {
        tracing::warn!(%unknown, "the listing is not complete");
    }
}

/// The volumes of the node plugins, as far as they can be told.
fn read_volumes(root: &Path, state_dir: &StateDir) -> Vec<Surveyed> {
    let kept = state_dir.survey(root);
    for unknown in kept.unknown {
        tracing::warn!(unknown, "volumes are missing in the list");
    }
    kept.all
}

/// This host's identity if it has one; a listing makes none.
fn own_identity(root: &Path) -> Option<HostIdentity> {
    HostIdentity::load(root).map(|loaded| loaded.identity).ok()
}

impl Report for Listing {
    fn write(&self, _: Format, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Listing::Hosts(hosts) => write_json(hosts, out),
            Listing::Tree(tree, volumes) => write_tree(tree, volumes, out),
        }
    }
}
