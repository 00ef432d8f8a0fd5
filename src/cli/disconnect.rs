//! `disconnect`: deletes the controllers of a subsystem, or one controller, and returns when they
//! are gone.
//!
//! Invariants: a disk that is in use loses its last path only by `--force`; PCIe and excluded
//! controllers are never touched, not even by `--force`; all refusals come before the first
//! controller goes.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use nvme_fabrics::{Candidate, DisconnectError, Disconnected, ExclusionsError, Fabrics};
use nvme_sysfs::{Controller, Instance, Nqn, ParseNqnError, ScanError, Sysfs, Transport, Tree};
use serde::Serialize;
use thiserror::Error;

use super::Command;
use super::exit::{Exit, Failure, chain};
use super::interrupt::{self, Ended, InterruptError, Stop};
use super::output::{Format, Output, Report, write_json};
use crate::config::Config;
use crate::host::last_path::find_disks_losing_last_path;
use crate::host::usage::{Gap, Look, UsageError, Use, read_usage};
use crate::number::parse_timeout;

/// Arguments of `disconnect`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    target: TargetArguments,

    /// Disconnect although a disk that is in use loses its last path; its data may be lost
    #[arg(long)]
    force: bool,

    /// Most seconds to wait for each controller to go
    // One minute: the kernel first flushes, and gives a dead target that long to answer its last
    // command.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = parse_timeout, allow_hyphen_values = true)]
    timeout: Duration,

    #[command(flatten)]
    output: Output,
}

/// What to disconnect: exactly one of the two.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct TargetArguments {
    /// NQN of the subsystem, all of whose controllers are to go
    #[arg(long, short = 'n')]
    nqn: Option<Nqn>,

    /// The one controller that is to go, for example nvme3
    #[arg(long, short = 'd', alias = "device", value_name = "NVMEN")]
    controller: Option<Instance>,
}

/// What to disconnect.
#[derive(Debug, Clone)]
enum Target {
    Subsystem(Nqn),
    Controller(Instance),
}

/// Whether a disk that is in use may lose its last path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InUse {
    Refuse,
    Force,
}

/// What to disconnect, and how.
#[derive(Debug)]
pub struct Options {
    target: Target,
    in_use: InUse,
    timeout: Duration,
}

/// What was disconnected.
#[derive(Debug, Default, Serialize)]
pub struct Disconnection {
    disconnected: Vec<String>,
    /// Where a use of a disk would have gone unseen.
    unchecked: Vec<String>,
}

/// Why it was not done.
#[derive(Debug, Error)]
pub enum DisconnectFailure {
    /// Neither `--nqn` nor `--controller`.
    #[error("--nqn or --controller is required")]
    NoTarget,
    /// A PCIe controller.
    #[error("{controller} is a PCIe controller: it is never disconnected")]
    Pcie {
        /// Which.
        controller: Instance,
    },
    /// The administrator has excluded it.
    #[error("{controller} is excluded by {entry:?} in {}", path.display())]
    Excluded {
        /// Which.
        controller: Instance,
        /// The matching entry.
        entry: String,
        /// Its file.
        path: PathBuf,
    },
    /// Disks that are in use would lose their last path.
    #[error("in use, and this is the last path: {}", join(uses))]
    InUse {
        /// Every use that was found.
        uses: Vec<Use>,
    },
    /// It cannot be told whether a disk is in use.
    #[error("cannot tell whether the disk {disk}, which would lose its last path, is in use")]
    Unknown {
        /// Kernel name of the disk.
        disk: String,
        /// Why.
        source: UsageError,
    },
    /// The kernel could not be asked who owns a disk: the one question that finds a mount wherever it is.
    #[error(
        "cannot tell whether the disk {disk}, which would lose its last path, is in use: not \
            looked at: {}",
        gaps.join("; ")
    )]
    Unseen {
        /// Kernel name of the disk.
        disk: String,
        /// What could not be looked at.
        gaps: Vec<String>,
    },
    /// The controller does not say which subsystem it belongs to.
    #[error(
        "{controller} has never been connected: the kernel does not delete such a controller, it \
            goes when its first connect fails"
    )]
    Unidentified {
        /// Which.
        controller: Instance,
    },
    /// Its subsystem has a name that is no NQN, so it cannot be told for sure which one it is.
    #[error("{controller} belongs to {name:?}, which is no valid NQN")]
    Name {
        /// Which.
        controller: Instance,
        /// The name as the kernel prints it.
        name: String,
        /// What is wrong with it.
        source: ParseNqnError,
    },
    /// The kernel did not delete it.
    #[error("cannot disconnect")]
    Disconnect(#[from] DisconnectError),
    /// The exclusions cannot be read.
    #[error("cannot tell whether the controllers are excluded")]
    Exclusions(#[from] ExclusionsError),
    /// sysfs cannot be read.
    #[error("cannot read the NVMe devices")]
    Scan(#[from] ScanError),
    /// A signal came, and the kernel stopped where it could.
    #[error("interrupted by {signal}: {outcome}")]
    Interrupted {
        /// Which signal.
        signal: Signal,
        /// How far it had come by then.
        outcome: String,
    },
    /// Signals cannot be handled, or a second one came.
    #[error(transparent)]
    Signals(#[from] InterruptError),
}

impl Failure for DisconnectFailure {
    fn exit(&self) -> Exit {
        match self {
            DisconnectFailure::NoTarget => Exit::WrongUse,
            DisconnectFailure::Pcie { .. }
            | DisconnectFailure::Excluded { .. }
            | DisconnectFailure::InUse { .. }
            | DisconnectFailure::Unknown { .. }
            | DisconnectFailure::Unseen { .. }
            | DisconnectFailure::Disconnect(
                DisconnectError::Pcie { .. } | DisconnectError::Excluded { .. },
            ) => Exit::Refused,
            DisconnectFailure::Disconnect(
                DisconnectError::StillThere { .. } | DisconnectError::NeverLive { .. },
            ) => Exit::TimedOut,
            _ => Exit::Failed,
        }
    }

    fn remedy(&self) -> Option<String> {
        let text = match self {
            DisconnectFailure::InUse { .. } => {
                "end these uses first (unmount, stop the processes), or give --force and lose \
                    what was not written yet"
            }
            DisconnectFailure::Unknown { .. } | DisconnectFailure::Unseen { .. } => {
                "make the host's /proc, /sys and /dev readable, or give --force"
            }
            DisconnectFailure::Excluded { .. } => "remove the entry if the controller is to go",
            DisconnectFailure::Disconnect(DisconnectError::StillThere { .. }) => {
                "the kernel is still shutting it down: run the same command again to wait longer"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }
}

impl Command for Arguments {
    type Options = Options;
    type Report = Disconnection;
    type Failure = DisconnectFailure;

    fn format(&self) -> Format {
        self.output.format
    }

    fn options(self) -> Result<Options, DisconnectFailure> {
        let TargetArguments { nqn, controller } = self.target;
        let target = nqn.map(Target::Subsystem);
        Ok(Options {
            target: target
                .or(controller.map(Target::Controller))
                .ok_or(DisconnectFailure::NoTarget)?,
            in_use: if self.force {
                InUse::Force
            } else {
                InUse::Refuse
            },
            timeout: self.timeout,
        })
    }

    fn run(config: &Config, options: Options) -> Result<Disconnection, DisconnectFailure> {
        let plan = Plan::make(config, &options)?;
        let waits_for = format!("the kernel is disconnecting {}", plan.names().join(", "));
        let fabrics = Fabrics::at(&config.root);
        let work = move |stop: &Stop| plan.carry_out(&fabrics, options.timeout, stop);
        match interrupt::run(&waits_for, work)? {
            Ended::Finished(result) => result,
            Ended::Interrupted(signal, result) => Err(DisconnectFailure::Interrupted {
                signal,
                outcome: match result {
                    Ok(done) => done.summary(),
                    Err(error) => chain(&error),
                },
            }),
        }
    }
}

/// The controllers that are to go, after every refusal was ruled out.
struct Plan {
    controllers: Vec<(Instance, Nqn)>,
    unchecked: Vec<String>,
}

impl Plan {
    fn make(config: &Config, options: &Options) -> Result<Plan, DisconnectFailure> {
        let tree = Sysfs::at(&config.root).scan()?;
        let chosen: Vec<_> = tree
            .controllers()
            .filter(|controller| options.target.includes(controller))
            .collect();
        refuse_untouchable(config, &chosen)?;
        let leaving: Vec<_> = chosen
            .iter()
            .map(|controller| controller.instance)
            .collect();
        let unchecked = match options.in_use {
            InUse::Force => Vec::new(),
            InUse::Refuse => refuse_in_use(config, &tree, &leaving)?,
        };
        let controllers = chosen
            .into_iter()
            .map(identified)
            .collect::<Result<_, _>>()?;
        Ok(Plan {
            controllers,
            unchecked,
        })
    }

    fn names(&self) -> Vec<String> {
        let names = self.controllers.iter();
        names.map(|(instance, _)| instance.to_string()).collect()
    }

    /// Goes on to the next controller past an error, and ends with the first error.
    fn carry_out(
        self,
        fabrics: &Fabrics,
        timeout: Duration,
        stop: &Stop,
    ) -> Result<Disconnection, DisconnectFailure> {
        let mut done = Disconnection {
            unchecked: self.unchecked,
            ..Disconnection::default()
        };
        let mut first_error = None;
        for (instance, nqn) in self.controllers {
            if stop.is_requested() {
                break;
            }
            match fabrics.disconnect(instance, &nqn, timeout) {
                Ok(Disconnected::Deleted) => done.disconnected.push(instance.to_string()),
                Ok(Disconnected::AlreadyGone) => {}
                Err(error) if first_error.is_none() => first_error = Some(error),
                Err(error) => {
                    let error = chain(&error);
                    tracing::error!(controller = %instance, error, "cannot disconnect");
                }
            }
        }
        match first_error {
            Some(error) => Err(error.into()),
            None => Ok(done),
        }
    }
}

impl Target {
    fn includes(&self, controller: &Controller) -> bool {
        match self {
            Target::Subsystem(nqn) => controller.subsysnqn.as_ref() == Some(nqn),
            Target::Controller(instance) => controller.instance == *instance,
        }
    }
}

fn identified(found: &Controller) -> Result<(Instance, Nqn), DisconnectFailure> {
    let controller = found.instance;
    let Some(name) = &found.subsysnqn_text else {
        return Err(DisconnectFailure::Unidentified { controller });
    };
    match name.parse() {
        Ok(nqn) => Ok((controller, nqn)),
        Err(source) => Err(DisconnectFailure::Name {
            controller,
            name: name.clone(),
            source,
        }),
    }
}

fn refuse_untouchable(config: &Config, chosen: &[&Controller]) -> Result<(), DisconnectFailure> {
    let exclusions = Fabrics::at(&config.root).exclusions()?;
    for found in chosen {
        let controller = found.instance;
        if found.transport == Transport::Pcie {
            return Err(DisconnectFailure::Pcie { controller });
        }
        if let Some(exclusion) = exclusions.find(&Candidate::from(*found)) {
            return Err(DisconnectFailure::Excluded {
                controller,
                entry: exclusion.text.clone(),
                path: exclusion.path.clone(),
            });
        }
    }
    Ok(())
}

/// Refuses if a disk in use would go, or one whose owner cannot be asked for; returns what else could
/// not be looked at.
fn refuse_in_use(
    config: &Config,
    tree: &Tree,
    leaving: &[Instance],
) -> Result<Vec<String>, DisconnectFailure> {
    let mut uses = Vec::new();
    let mut unchecked = Vec::new();
    let mut unseen = None;
    for disk in find_disks_losing_last_path(tree, leaving) {
        let disk = disk.name.clone();
        let usage = match read_usage(&config.root, &disk, Look::Exclusive) {
            Ok(usage) => usage,
            Err(source) => return Err(DisconnectFailure::Unknown { disk, source }),
        };
        let gaps = usage.gaps.iter().map(ToString::to_string);
        if usage.gaps.iter().any(|gap| matches!(gap, Gap::Node(..))) {
            let gaps = gaps.collect();
            unseen = unseen.or(Some(DisconnectFailure::Unseen { disk, gaps }));
        } else {
            unchecked.extend(gaps);
        }
        uses.extend(usage.uses);
    }
    match unseen {
        _ if !uses.is_empty() => Err(DisconnectFailure::InUse { uses }),
        Some(unseen) => Err(unseen),
        None => Ok(unchecked),
    }
}

fn join(uses: &[Use]) -> String {
    let uses: Vec<_> = uses.iter().map(ToString::to_string).collect();
    uses.join("; ")
}

impl Disconnection {
    fn summary(&self) -> String {
        if self.disconnected.is_empty() {
            "nothing was disconnected".to_owned()
        } else {
            format!("disconnected {}", self.disconnected.join(", "))
        }
    }
}

impl Report for Disconnection {
    fn write(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Json => write_json(self, out),
            Format::Human => {
                writeln!(out, "{}", self.summary())?;
                self.unchecked
                    .iter()
                    .try_for_each(|gap| writeln!(out, "not checked for uses: {gap}"))
            }
        }
    }
}
