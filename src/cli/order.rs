//! `rescan` and `reset`: one order to each controller that is meant.
//!
//! Invariants: each gets its order whatever becomes of the others, and the first failure is the verb's; a PCIe controller
//! is not reset.

use std::io::{self, Write};

use nvme_fabrics::{Fabrics, RescanError};
use nvme_sysfs::{Controller, Instance, Nqn, Transport};
use serde::Serialize;
use thiserror::Error;

use super::command::Command;
use super::exit::{Exit, Failure, chain};
use super::line::write_line;
use super::output::{Format, Output, Report, write_json};
use super::target::{Target, TargetError};
use crate::config::Config;

/// Arguments of `rescan`.
#[derive(Debug, clap::Args)]
pub struct RescanArguments {
    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    output: Output,
}

/// Arguments of `reset`.
#[derive(Debug, clap::Args)]
pub struct ResetArguments {
    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    output: Output,
}

/// Whom to order something.
#[derive(Debug)]
pub struct Options {
    target: Target,
}

/// Who got the order.
#[derive(Debug, Serialize)]
pub struct Ordered {
    /// What the kernel was told, for people.
    #[serde(skip)]
    done: &'static str,
    /// The controllers.
    controllers: Vec<String>,
}

/// Why a controller did not get its order.
#[derive(Debug, Error)]
pub enum OrderFailure {
    /// There is none.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A drive of this machine.
    #[error("{0} is a PCIe controller: it is not reset")]
    Pcie(Instance),
    /// The kernel refused.
    #[error("{controller} did not do it")]
    Order {
        /// Which.
        controller: Instance,
        /// Why.
        source: RescanError,
    },
}

impl Failure for OrderFailure {
    fn exit(&self) -> Exit {
        match self {
            OrderFailure::Target(error) => error.exit(),
            OrderFailure::Pcie(_) => Exit::Refused,
            OrderFailure::Order { .. } => Exit::Failed,
        }
    }

    fn remedy(&self) -> Option<String> {
        match self {
            OrderFailure::Target(error) => error.remedy(),
            OrderFailure::Pcie(_) | OrderFailure::Order { .. } => None,
        }
    }
}

impl Command for RescanArguments {
    type Options = Options;
    type Report = Ordered;
    type Failure = OrderFailure;

    fn format(&self) -> Format {
        self.output.format
    }

    fn options(self) -> Result<Options, OrderFailure> {
        let target = self.target;
        Ok(Options { target })
    }

    fn run(config: &Config, options: Options) -> Result<Ordered, OrderFailure> {
        let fabrics = Fabrics::at(&config.root);
        let controllers = options.target.find(&config.root)?;
        let order = |controller, nqn: &Nqn| fabrics.rescan(controller, nqn);
        Ok(Ordered {
            done: "looks for namespaces",
            controllers: give(&controllers, order)?,
        })
    }
}

impl Command for ResetArguments {
    type Options = Options;
    type Report = Ordered;
    type Failure = OrderFailure;

    fn format(&self) -> Format {
        self.output.format
    }

    fn options(self) -> Result<Options, OrderFailure> {
        let target = self.target;
        Ok(Options { target })
    }

    fn run(config: &Config, options: Options) -> Result<Ordered, OrderFailure> {
        let fabrics = Fabrics::at(&config.root);
        let controllers = options.target.find(&config.root)?;
        let mut drives = controllers.iter().map(|(controller, _)| controller);
        if let Some(drive) = drives.find(|it| it.transport == Transport::Pcie) {
            return Err(OrderFailure::Pcie(drive.instance));
        }
        let order = |controller, nqn: &Nqn| fabrics.reset(controller, nqn);
        Ok(Ordered {
            done: "was reset",
            controllers: give(&controllers, order)?,
        })
    }
}

/// Gives each its order, and returns their names.
fn give(
    controllers: &[(Controller, Nqn)],
    order: impl Fn(Instance, &Nqn) -> Result<(), RescanError>,
) -> Result<Vec<String>, OrderFailure> {
    let mut ordered = Vec::new();
    let mut first_failure = None;
    for (controller, nqn) in controllers {
        let controller = controller.instance;
        match order(controller, nqn) {
            Ok(()) => ordered.push(controller.to_string()),
            Err(source) if first_failure.is_none() => {
                first_failure = Some(OrderFailure::Order { controller, source });
            }
            Err(error) => tracing::error!(%controller, error = chain(&error), "did not do it"),
        }
    }
    first_failure.map_or(Ok(ordered), Err)
}

impl Report for Ordered {
    fn write(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        if format == Format::Json {
            return write_json(self, out);
        }
        let mut controllers = self.controllers.iter();
        controllers.try_for_each(|it| write_line(out, format_args!("{it} {}", self.done)))
    }
}
