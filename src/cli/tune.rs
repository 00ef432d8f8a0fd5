//! `tune`: what happens when a controller is lost, and how the paths of a subsystem share the I/O.
//!
//! Invariants: each controller is tuned whatever becomes of the others, and what the kernel shows afterwards is what was
//! asked for. A controller below a map of this program gives up at once, for one that outlives a loss sends what waits in
//! it to whatever stands behind the name then: that is not undone without `--force`.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use nvme_fabrics::{Fabrics, IoPolicyError, TuneError, Tuning};
use nvme_sysfs::{
    Controller, ControllerLoss, FastIoFail, Instance, IoPolicy, Nqn, ScanError, Sysfs,
};
use serde::Serialize;
use thiserror::Error;

use super::command::Command;
use super::exit::{Exit, Failure};
use super::failures::Failures;
use super::line::write_line;
use super::output::{Format, Output, Report, write_json};
use super::target::{Target, TargetError};
use crate::config::Config;
use crate::host::dm::{Map, ReadMapsError, read_maps};
use nvme_fabrics::number::{NumberError, parse_seconds, parse_seconds_or_minus_one};

/// Arguments of `tune`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    what: What,

    /// Have a controller outlive a loss although a map of this program lies over a disk of it
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    output: Output,
}

/// What to change: at least one.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct What {
    /// Seconds after which a lost controller is given up; -1: never
    #[arg(long, value_name = "SECONDS", value_parser = parse_controller_loss, allow_hyphen_values = true)]
    ctrl_loss_tmo: Option<ControllerLoss>,

    /// Seconds between attempts to reconnect, 1 to 65535
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds, allow_hyphen_values = true)]
    reconnect_delay: Option<Duration>,

    /// Seconds after which I/O on a lost path fails; -1: only with the controller
    #[arg(long, value_name = "SECONDS", value_parser = parse_fast_io_fail, allow_hyphen_values = true)]
    fast_io_fail_tmo: Option<FastIoFail>,

    /// How the paths of the whole subsystem share the I/O: numa, round-robin or queue-depth
    #[arg(long, value_name = "POLICY", value_parser = parse_policy)]
    iopolicy: Option<IoPolicy>,
}

fn parse_controller_loss(text: &str) -> Result<ControllerLoss, NumberError> {
    let limit = parse_seconds_or_minus_one(text)?;
    Ok(limit.map_or(ControllerLoss::Never, ControllerLoss::After))
}

fn parse_fast_io_fail(text: &str) -> Result<FastIoFail, NumberError> {
    let limit = parse_seconds_or_minus_one(text)?;
    Ok(limit.map_or(FastIoFail::Off, FastIoFail::After))
}

/// Whom to tune, and how.
#[derive(Debug)]
pub struct Options {
    target: Target,
    tuning: Tuning,
    iopolicy: Option<IoPolicy>,
    below_maps: BelowMaps,
}

/// What becomes of a controller below a map that would outlive a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BelowMaps {
    Refuse,
    Force,
}

/// Who was tuned.
#[derive(Debug, Default, Serialize)]
pub struct Tuned {
    /// The controllers.
    controllers: Vec<String>,
    /// The subsystems whose policy was set.
    subsystems: Vec<String>,
}

/// Why something stays as it was.
#[derive(Debug, Error)]
pub enum TuneFailure {
    /// There is no controller.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A map needs it as it is; nothing was tuned.
    #[error(
        "{controller} carries {disk}, over which the map {map} holds a volume, and has to give up at once when it is \
         lost: what waits in one that outlives a loss is written to whatever stands behind the name then"
    )]
    BelowMap {
        /// Which controller.
        controller: Instance,
        /// Kernel name of the disk.
        disk: String,
        /// The disk of the map.
        map: String,
    },
    /// It cannot be told whether there is such a map; nothing was tuned.
    #[error("cannot tell which maps there are")]
    Maps(#[from] ReadMapsError),
    /// It cannot be told what the controller carries; nothing was tuned.
    #[error("cannot read the NVMe devices")]
    Scan(#[from] ScanError),
    /// A controller was not tuned.
    #[error("cannot tune {controller}")]
    Tune {
        /// Which.
        controller: Instance,
        /// Why.
        source: TuneError,
    },
    /// A subsystem was not.
    #[error("cannot set the I/O policy")]
    Policy(#[from] IoPolicyError),
}

impl Failure for TuneFailure {
    fn exit(&self) -> Exit {
        match self {
            TuneFailure::Target(error) => error.exit(),
            TuneFailure::Tune {
                source: TuneError::Value { .. },
                ..
            } => Exit::WrongUse,
            TuneFailure::BelowMap { .. } => Exit::Refused,
            _ => Exit::Failed,
        }
    }

    fn remedy(&self) -> Option<String> {
        match self {
            TuneFailure::Target(error) => error.remedy(),
            TuneFailure::BelowMap { .. } => {
                Some("--force sets it all the same; the node plugin sets it back".to_owned())
            }
            _ => None,
        }
    }
}

impl Command for Arguments {
    type Options = Options;
    type Report = Tuned;
    type Failure = TuneFailure;

    fn format(&self) -> Format {
        self.output.format
    }

    fn options(self) -> Result<Options, TuneFailure> {
        Ok(Options {
            target: self.target,
            tuning: Tuning {
                ctrl_loss_tmo: self.what.ctrl_loss_tmo,
                reconnect_delay: self.what.reconnect_delay,
                fast_io_fail_tmo: self.what.fast_io_fail_tmo,
            },
            iopolicy: self.what.iopolicy,
            below_maps: match self.force {
                true => BelowMaps::Force,
                false => BelowMaps::Refuse,
            },
        })
    }

    fn run(config: &Config, options: Options) -> Result<Tuned, TuneFailure> {
        let fabrics = Fabrics::at(&config.root);
        let controllers = options.target.find(&config.root)?;
        let at_once = ControllerLoss::After(Duration::ZERO);
        let outlives = options
            .tuning
            .ctrl_loss_tmo
            .is_some_and(|loss| loss != at_once);
        if outlives && options.below_maps == BelowMaps::Refuse {
            refuse_below_maps(&config.root, &controllers)?;
        }
        let (mut tuned, mut failures) = (Tuned::default(), Failures::none());
        let changes = options.tuning != Tuning::default();
        for (controller, nqn) in controllers.iter().filter(|_| changes) {
            let controller = controller.instance;
            match fabrics.tune(controller, nqn, &options.tuning) {
                Ok(()) => tuned.controllers.push(controller.to_string()),
                Err(source) => failures.add(TuneFailure::Tune { controller, source }),
            }
        }
        let names: BTreeSet<_> = controllers.iter().map(|(_, nqn)| nqn).collect();
        if let Some(policy) = &options.iopolicy {
            for nqn in names {
                match fabrics.set_iopolicy(nqn, policy) {
                    Ok(subsystems) => tuned.subsystems.extend(subsystems),
                    Err(error) => failures.add(error.into()),
                }
            }
        }
        failures.or(tuned)
    }
}

/// Refuses controllers that carry a disk of a map of this program, or may.
fn refuse_below_maps(root: &Path, controllers: &[(Controller, Nqn)]) -> Result<(), TuneFailure> {
    let maps = read_maps(root)?;
    if maps.is_empty() {
        return Ok(());
    }
    let tree = Sysfs::at(root).scan()?;
    for (controller, nqn) in controllers {
        tree.require(nqn)?;
        let controller = controller.instance;
        for disk in tree.namespaces() {
            let is_over = |map: &&Map| disk.dev.is_some_and(|dev| map.find_path(dev).is_some());
            let Some(map) = maps.iter().find(is_over) else {
                continue;
            };
            if tree.carriers_of(disk).any(|it| it.instance == controller) {
                return Err(TuneFailure::BelowMap {
                    controller,
                    disk: disk.name.clone(),
                    map: map.disk.clone(),
                });
            }
        }
    }
    Ok(())
}

fn parse_policy(text: &str) -> Result<IoPolicy, String> {
    match IoPolicy::from(text) {
        IoPolicy::Other(_) => Err(format!("must be one of {}", IoPolicy::WORDS.join(", "))),
        policy => Ok(policy),
    }
}

impl Report for Tuned {
    fn write(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        if format == Format::Json {
            return write_json(self, out);
        }
        let mut tuned = self.controllers.iter().chain(&self.subsystems);
        tuned.try_for_each(|it| write_line(out, format_args!("{it} is tuned")))
    }
}
