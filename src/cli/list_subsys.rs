//! `list-subsys`: subsystems with their controllers and namespaces, and the volumes on them.
//!
//! Invariants: the JSON form reads only what it prints; volumes that cannot be read are told of in the
//! log and keep nothing else from being listed.

mod form;
mod hosts;
mod tree;
mod volumes;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nvme_fabrics::HostIdentity;
use nvme_sysfs::{ListedSubsystem, ScanError, Sysfs, Tree};
use thiserror::Error;

use super::command::Command;
use super::exit::{Exit, Failure};
use super::output::{Format, Output, Report, write_json};
use super::state_dir::StateDir;
use super::unknown::tell_unknown;
use crate::config::Config;
use crate::volume::Surveyed;
use form::WholeTree;
use hosts::{add_volumes, arrange};
use tree::write_tree;

pub use hosts::Host;

/// Arguments of `list-subsys`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// List only what this belongs to: a disk, a controller or a subsystem, for example nvme0n1, /dev/nvme0 or nvme-subsys0
    device: Option<PathBuf>,

    /// With -o json: everything that people get, in a form of its own
    // Without it the text is nvme-cli's.
    #[arg(long)]
    tree: bool,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    state_dir: StateDir,
}

/// What to list.
#[derive(Debug)]
pub struct Options {
    form: Form,
    device: Option<String>,
    state_dir: StateDir,
}

/// What is listed how.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// Everything, for people.
    People,
    /// As nvme-cli.
    Hosts,
    /// Everything, for programs.
    Whole,
}

/// What was found, as much as the form needs.
#[derive(Debug)]
pub enum Listing {
    /// For people: everything.
    Tree(Tree, Vec<Surveyed>),
    /// For programs, as nvme-cli.
    Hosts(Vec<Host>),
    /// For programs, everything.
    Whole(WholeTree),
}

/// Why nothing can be listed.
#[derive(Debug, Error)]
pub enum ListError {
    /// sysfs cannot be read.
    #[error("cannot read the NVMe devices")]
    Scan(#[from] ScanError),
    /// There is nothing of this name.
    #[error("there is no NVMe device {0}")]
    NoDevice(String),
}

impl Failure for ListError {
    fn exit(&self) -> Exit {
        match self {
            ListError::Scan(_) => Exit::Failed,
            ListError::NoDevice(_) => Exit::NotFound,
        }
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
        let name = |device: PathBuf| {
            let name = device.file_name().unwrap_or_default();
            name.to_string_lossy().into_owned()
        };
        Ok(Options {
            form: match (self.output.format, self.tree) {
                (Format::Human, _) => Form::People,
                (Format::Json, false) => Form::Hosts,
                (Format::Json, true) => Form::Whole,
            },
            device: self.device.map(name),
            state_dir: self.state_dir,
        })
    }

    fn run(config: &Config, options: Options) -> Result<Listing, ListError> {
        let sysfs = Sysfs::at(&config.root);
        let own = || own_identity(&config.root);
        let volumes = || read_volumes(&config.root, &options.state_dir);
        if let (Form::Hosts, None) = (options.form, &options.device) {
            let listing = sysfs.list()?;
            tell_unknown(&listing.unknown);
            let hosts = arrange(listing.hosts, own);
            return Ok(Listing::Hosts(add_volumes(hosts, volumes(), own)));
        }
        let mut tree = sysfs.scan()?;
        let mut volumes = volumes();
        if let Some(device) = options.device {
            if !keep_only(&mut tree, &device) {
                return Err(ListError::NoDevice(device));
            }
            volumes.retain(|volume| tree.find_subsystems(&volume.nqn).next().is_some());
        }
        tell_unknown(tree.unknown());
        Ok(match options.form {
            Form::People => Listing::Tree(tree, volumes),
            Form::Whole => Listing::Whole(WholeTree::of(&config.root, &tree, &volumes)),
            Form::Hosts => {
                let mut listing = sysfs.list()?;
                let is_kept = |it: &ListedSubsystem| {
                    let mut kept = tree.subsystems.iter();
                    kept.any(|subsystem| subsystem.name == it.name)
                };
                for host in &mut listing.hosts {
                    host.subsystems.retain(is_kept);
                }
                listing.hosts.retain(|host| !host.subsystems.is_empty());
                let hosts = arrange(listing.hosts, own);
                Listing::Hosts(add_volumes(hosts, volumes, own))
            }
        })
    }
}

/// Leaves only the subsystem that a disk, a controller or an entry of its own name belongs to; false if there is none.
fn keep_only(tree: &mut Tree, device: &str) -> bool {
    tree.subsystems.retain(|subsystem| {
        let mut controllers = subsystem.controllers.iter();
        subsystem.name == device
            || subsystem.namespaces.iter().any(|disk| disk.name == device)
            || controllers.any(|it| it.instance.to_string() == device)
    });
    tree.unattached
        .retain(|controller| controller.instance.to_string() == device);
    !tree.subsystems.is_empty() || !tree.unattached.is_empty()
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
            Listing::Whole(tree) => write_json(tree, out),
        }
    }
}
