//! The controllers that a verb is about: those of a subsystem, or one.

use std::path::Path;

use nvme_sysfs::{Controller, Instance, Nqn, ScanError, Sysfs};
use thiserror::Error;

use super::exit::{Exit, Failure};

/// Which controllers: exactly one of the two options.
#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct Target {
    /// NQN of the subsystem, all of whose controllers are meant
    #[arg(long, short = 'n')]
    nqn: Option<Nqn>,

    /// The one controller that is meant, for example nvme3
    #[arg(long, short = 'd', alias = "device", value_name = "NVMEN")]
    controller: Option<Instance>,
}

/// Why there is no controller to do anything with.
#[derive(Debug, Error)]
pub enum TargetError {
    /// There is none.
    #[error("this host has no such controller")]
    None,
    /// It has never been connected, or its name is none.
    #[error("{0} belongs to no subsystem that can be told")]
    Nameless(Instance),
    /// sysfs cannot be read.
    #[error("cannot read the NVMe devices")]
    Scan(#[from] ScanError),
}

impl Failure for TargetError {
    fn exit(&self) -> Exit {
        match self {
            TargetError::None => Exit::NotFound,
            TargetError::Nameless(_) | TargetError::Scan(_) => Exit::Failed,
        }
    }

    fn remedy(&self) -> Option<String> {
        let text = "`nvmeof-csi list-subsys` shows what is connected";
        matches!(self, TargetError::None).then(|| text.to_owned())
    }
}

impl Target {
    /// The controllers that are meant, each with its subsystem's name; at least one.
    ///
    /// # Errors
    /// [`TargetError`].
    pub(super) fn find(&self, root: &Path) -> Result<Vec<(Controller, Nqn)>, TargetError> {
        let controllers = Sysfs::at(root).scan_controllers()?;
        let is_meant = |controller: &Controller| match (&self.nqn, self.controller) {
            (Some(nqn), _) => controller.subsysnqn.as_ref() == Some(nqn),
            (None, meant) => Some(controller.instance) == meant,
        };
        let mut found = Vec::new();
        for controller in controllers.into_iter().filter(is_meant) {
            let nqn = controller.subsysnqn.clone();
            let nqn = nqn.ok_or(TargetError::Nameless(controller.instance))?;
            found.push((controller, nqn));
        }
        match found.is_empty() {
            true => Err(TargetError::None),
            false => Ok(found),
        }
    }
}
