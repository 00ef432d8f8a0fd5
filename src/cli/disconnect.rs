//! `disconnect`: deletes the controllers of a subsystem, or one controller, and returns when they
//! are gone.
//!
//! Invariants: a disk that is in use loses its last path only by `--force`; PCIe and excluded
//! controllers are never touched, not even by `--force`; all refusals come before the first
//! controller goes.

mod failure;
mod in_use;
mod plan;

use std::io::{self, Write};
use std::time::Duration;

use nvme_sysfs::{Controller, Instance, Nqn};
use serde::Serialize;

use super::command::Command;
use super::exit::chain;
use super::interrupt::{self, Ended, Stop};
use super::line::write_line;
use super::output::{Format, Output, Report, write_json};
use crate::config::Config;
pub use failure::DisconnectFailure;
use in_use::InUse;
use nvme_fabrics::number::parse_timeout;
use plan::Plan;

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
        let work = move |stop: &Stop| plan.carry_out(stop);
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

impl Target {
    fn includes(&self, controller: &Controller) -> bool {
        match self {
            Target::Subsystem(nqn) => controller.subsysnqn.as_ref() == Some(nqn),
            Target::Controller(instance) => controller.instance == *instance,
        }
    }
}

impl Disconnection {
    fn summary(&self) -> String {
        if self.disconnected.is_empty() {
            "nothing was disconnected".to_owned()
        } else {
            format!("disconnected {}", self.disconnected.join(", "))
        }
    }

    /// Says each gap once, however often it was met.
    fn add_unchecked(&mut self, gaps: Vec<String>) {
        let known = std::mem::take(&mut self.unchecked);
        let new = gaps.into_iter().filter(|gap| !known.contains(gap));
        self.unchecked = known.iter().cloned().chain(new).collect();
    }
}

impl Report for Disconnection {
    fn write(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Json => write_json(self, out),
            Format::Human => {
                write_line(out, format_args!("{}", self.summary()))?;
                self.unchecked.iter().try_for_each(|gap| {
                    write_line(out, format_args!("not checked for uses: {gap}"))
                })
            }
        }
    }
}
