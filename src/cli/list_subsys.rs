//! `list-subsys`: subsystems with their controllers and namespaces, and the volumes on them.
//!
//! Invariants: the JSON form reads only what it prints; volumes that cannot be read are told of in the
//! log and keep nothing else from being listed.

mod hosts;
mod tree;
mod volumes;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nvme_fabrics::HostIdentity;
use nvme_sysfs::{ScanError, Sysfs, Tree};
use thiserror::Error;

use super::command::Command;
use super::exit::{Exit, Failure, chain};
use super::output::{Format, Output, Report, write_json};
use super::state_dir::StateDir;
use crate::config::Config;
use crate::volume::{Surveyed, survey};
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
    state_dir: PathBuf,
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
            state_dir: self.state_dir.path,
        })
    }

    fn run(config: &Config, options: Options) -> Result<Listing, ListError> {
        let sysfs = Sysfs::at(&config.root);
        let own = || own_identity(&config.root);
        let volumes = || read_volumes(&config.root, &options.state_dir);
        Ok(match options.format {
            Format::Human => Listing::Tree(sysfs.scan()?, volumes()),
            Format::Json => {
                Listing::Hosts(add_volumes(arrange(sysfs.list()?, own), volumes(), own))
            }
        })
    }
}

/// The volumes of the node plugin, as far as they can be told.
fn read_volumes(root: &Path, state_dir: &Path) -> Vec<Surveyed> {
    survey(root, state_dir).unwrap_or_else(|error| {
        tracing::warn!(error = chain(&error), "the volumes cannot be listed");
        Vec::new()
    })
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
