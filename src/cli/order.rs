//! `rescan` and `reset`: one order to each controller that is meant.
//!
//! Invariants: each gets its order whatever becomes of the others, and the first failure is the verb's; only
//! controllers over fabrics are reset.

use std::io::{self, Write};

use nvme_fabrics::{Fabrics, RescanError};
use nvme_sysfs::{Controller, Instance, Nqn, Transport};
use serde::Serialize;
use thiserror::Error;

use super::command::Command;
use super::exit::{Exit, Failure};
use super::failures::Failures;
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
    /// A drive of this machine, or nobody knows what.
    #[error("{controller} has the transport {transport}: only controllers over fabrics are reset")]
    NoFabric {
        /// Which.
        controller: Instance,
        /// The kernel's word.
        transport: Transport,
    },
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
            OrderFailure::NoFabric { .. } => Exit::Refused,
            OrderFailure::Order { .. } => Exit::Failed,
        }
    }

    fn remedy(&self) -> Option<String> {
        match self {
            OrderFailure::Target(error) => error.remedy(),
            OrderFailure::NoFabric { .. } | OrderFailure::Order { .. } => None,
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
        let mut all = controllers.iter().map(|(controller, _)| controller);
        if let Some(other) = all.find(|it| !is_fabric(&it.transport)) {
            return Err(OrderFailure::NoFabric {
                controller: other.instance,
                transport: other.transport.clone(),
            });
        }
        let order = |controller, nqn: &Nqn| fabrics.reset(controller, nqn);
        Ok(Ordered {
            done: "was reset",
            controllers: give(&controllers, order)?,
        })
    }
}

/// Whether a reset of a controller is known to be a new connection.
fn is_fabric(transport: &Transport) -> bool {
    matches!(
        transport,
        Transport::Tcp | Transport::Rdma | Transport::Fc | Transport::Loop
    )
}

/// Gives each its order, and returns their names.
fn give(
    controllers: &[(Controller, Nqn)],
    order: impl Fn(Instance, &Nqn) -> Result<(), RescanError>,
) -> Result<Vec<String>, OrderFailure> {
    let (mut ordered, mut failures) = (Vec::new(), Failures::none());
    for (controller, nqn) in controllers {
        let controller = controller.instance;
        match order(controller, nqn) {
            Ok(()) => ordered.push(controller.to_string()),
            Err(source) => failures.add(OrderFailure::Order { controller, source }),
        }
    }
    failures.or(ordered)
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
