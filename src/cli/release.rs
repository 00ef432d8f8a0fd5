//! `release`: lets go of I/O that waits for a path, for whoever cannot wait: the shutdown of a node.
//!
//! Works without the plugin, by device-mapper and sysfs alone. Invariant: only maps of this program
//! are told, and only controllers of this program in which I/O may wait are deleted.

use std::io::{self, Write};
use std::time::Duration;

use nvme_fabrics::{DisconnectError, Owner, Registry, RegistryError};
use nvme_sysfs::{Controller, Instance, Namespace, Nqn, ScanError, Sysfs, Tree};
use serde::Serialize;
use thiserror::Error;

use super::command::Command;
use super::exit::{Exit, Failure};
use super::line::write_line;
use super::output::{Format, Output, Report, write_json};
use super::state_dir::{Kept, StateDir};
use crate::config::Config;
use crate::host::disconnects::{disconnect_all, without_needed};
use crate::host::dm::{LOCK_PATIENCE, Map, ReadMapsError, lock, read_maps};
use crate::host::{Host, LinuxHost, MapError, MapId, Timeouts};
use crate::volume::record::StageRecord;

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
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub struct Released {
    /// Names of the maps.
    maps: Vec<String>,
    /// The controllers that were deleted.
    controllers: Vec<String>,
}

/// Why I/O may still wait.
#[derive(Debug, Error)]
pub enum ReleaseFailure {
    /// The maps are not known.
    #[error("cannot tell which maps there are")]
    Maps(#[from] ReadMapsError),
    /// The volumes of the subsystem are not all known.
    #[error("cannot tell whether a map of the subsystem is left: {0}")]
    Records(String),
    /// The devices are not known.
    #[error("cannot read the NVMe devices")]
    Scan(#[from] ScanError),
    /// A map holds on.
    #[error("the map {name} was not told to let go")]
    Map {
        /// Its name.
        name: String,
        /// Why.
        source: MapError,
    },
    /// It is not known whose a controller is.
    #[error("cannot tell who connected {controller}")]
    Owner {
        /// Which.
        controller: Instance,
        /// Why.
        source: RegistryError,
    },
    /// A controller stays.
    #[error("cannot delete {controller}, in which I/O may wait")]
    Disconnect {
        /// Which.
        controller: Instance,
        /// Why.
        source: DisconnectError,
    },
}

impl Failure for ReleaseFailure {
    fn exit(&self) -> Exit {
        Exit::Failed
    }
}

impl Command for Arguments {
    type Options = Options;
    type Report = Released;
    type Failure = ReleaseFailure;

    fn format(&self) -> Format {
        self.output.format
    }

    fn options(self) -> Result<Options, ReleaseFailure> {
        Ok(Options {
            nqn: self.which.nqn,
            state_dir: self.state_dir,
        })
    }

    fn run(config: &Config, options: Options) -> Result<Released, ReleaseFailure> {
        let timeouts = Timeouts {
            disconnect: PATIENCE,
            ..Timeouts::default()
        };
        let host = LinuxHost::new(&config.root, Owner::Administrator, timeouts);
        let mut released = Released::default();
        let mut first_failure = None;
        let records = options.state_dir.records(&config.root);
        if options.nqn.is_some() && !records.unknown.is_empty() {
            first_failure = Some(ReleaseFailure::Records(records.unknown.join("; ")));
        }
        // One that does not let go must not keep the others.
        let maps = find_maps(config, &options, &records)?;
        let held = let_go(config, &host, maps, Duration::ZERO, &mut released);
        let tree = Sysfs::at(&config.root).scan()?;
        let mut stuck = find_stuck(config, &tree, options.nqn.as_ref(), &mut first_failure);
        let deletable = find_deletable(config, &records, &tree, &stuck)?;
        stuck.retain(|(it, _)| deletable.contains(it));
        let stuck: Vec<_> = stuck.iter().map(|(it, nqn)| (*it, nqn)).collect();
        for (controller, done) in disconnect_all(&host, &stuck) {
            match done {
                Ok(()) => released.controllers.push(controller.to_string()),
                Err(source) => {
                    first_failure.get_or_insert(ReleaseFailure::Disconnect { controller, source });
                }
            }
        }
        // What the plugin waited for with their locks may have ended with those controllers.
        let held = held.into_iter().map(|(map, _)| map).collect();
        let held = let_go(config, &host, held, LOCK_PATIENCE, &mut released).into_iter();
        let held = held.map(|(map, source)| {
            let name = map.name();
            ReleaseFailure::Map { name, source }
        });
        held.chain(first_failure).next().map_or(Ok(released), Err)
    }
}

/// Lets the I/O of maps fail, each under its lock, and gives those that hold on. Each lock is waited for so long.
fn let_go(
    config: &Config,
    host: &LinuxHost,
    maps: Vec<MapId>,
    patience: Duration,
    released: &mut Released,
) -> Vec<(MapId, MapError)> {
    let mut held = Vec::new();
    for map in maps {
        let done = lock(&config.root, map, patience).and_then(|_locked| host.let_go_map(map));
        match done {
            // One that has gone meanwhile holds nothing.
            Err(MapError::Missing { .. }) => {}
            Ok(()) => released.maps.push(map.name()),
            Err(error) => held.push((map, error)),
        }
    }
    held
}

/// The maps that are meant.
fn find_maps(
    config: &Config,
    options: &Options,
    records: &Kept<StageRecord>,
) -> Result<Vec<MapId>, ReleaseFailure> {
    let mut maps = read_maps(&config.root)?;
    if let Some(nqn) = &options.nqn {
        maps.retain(|map| {
            let mut of_map = records.all.iter().filter(|it| it.map() == Some(map.id));
            of_map.any(|record| record.source.nqn == *nqn)
        });
    }
    Ok(maps.into_iter().map(|map| map.id).collect())
}

/// Controllers of ours in which I/O may wait below a map. One of which the state or the owner is unknown stays, and is told.
fn find_stuck(
    config: &Config,
    tree: &Tree,
    wanted: Option<&Nqn>,
    failure: &mut Option<ReleaseFailure>,
) -> Vec<(Instance, Nqn)> {
    let registry = Registry::at(&config.root);
    let mut stuck = Vec::new();
    let keeps = |controller: &Controller| {
        let mut disks = tree
            .subsystems
            .iter()
            .flat_map(|s| s.namespaces.iter().map(move |disk| (s, disk)));
        !controller.is_live()
            || disks.any(|(subsystem, disk)| subsystem.waits_behind(disk, controller))
    };
    for controller in tree.controllers().filter(|controller| keeps(controller)) {
        let Some(nqn) = &controller.subsysnqn else {
            continue;
        };
        if wanted.is_some_and(|wanted| wanted != nqn) {
            continue;
        }
        let doubt = controller.unknown.iter().find(|it| it.matters());
        let controller = controller.instance;
        match registry.owner(controller) {
            Ok(Some(owner)) if owner.is_this_program() => match doubt {
                None => stuck.push((controller, nqn.clone())),
                Some(doubt) => {
                    let doubt = ScanError::from(doubt.clone());
                    failure.get_or_insert(ReleaseFailure::Scan(doubt));
                }
            },
            Ok(_) => {}
            Err(source) => {
                failure.get_or_insert(ReleaseFailure::Owner { controller, source });
            }
        }
    }
    stuck
}

/// Those of the controllers with which nobody else would lose a disk: what lies below a map of ours, or is a volume of
/// the plugin, is let go with them. What has no map and a record that cannot be read counts as somebody else's.
fn find_deletable(
    config: &Config,
    records: &Kept<StageRecord>,
    tree: &Tree,
    stuck: &[(Instance, Nqn)],
) -> Result<Vec<Instance>, ReleaseFailure> {
    let maps = read_maps(&config.root)?;
    for unknown in &records.unknown {
        tracing::warn!(unknown, "cannot tell which disks are volumes");
    }
    let is_ours = |disk: &Namespace| {
        let is_below = |map: &Map| disk.dev.is_some_and(|dev| map.find_path(dev).is_some());
        let is_recorded = |it: &StageRecord| it.identity().is_some_and(|it| it.names(disk));
        maps.iter().any(is_below) || records.all.iter().any(is_recorded)
    };
    let stuck = stuck.iter().map(|(it, _)| *it).collect();
    Ok(without_needed(&config.root, tree, stuck, is_ours))
}

impl Report for Released {
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
