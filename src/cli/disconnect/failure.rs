//! Why a disconnect was not done, or not to its end.

use nix::sys::signal::Signal;
use nvme_fabrics::DisconnectError;
use nvme_sysfs::{Instance, ParseNqnError, ScanError};
use thiserror::Error;

use super::Disconnection;
use crate::cli::exit::{Exit, Failure};
use crate::cli::interrupt::InterruptError;
use crate::host::usage::{UsageError, Use};

/// Why it was not done.
#[derive(Debug, Error)]
pub enum DisconnectFailure {
    /// Neither `--nqn` nor `--controller`.
    #[error("--nqn or --controller is required")]
    NoTarget,
    /// Disks that are in use would lose their last path.
    #[error("in use, and this is the last path: {}", join(uses, gaps))]
    InUse {
        /// Every use that was found.
        uses: Vec<Use>,
        /// What could not be looked at besides.
        gaps: Vec<String>,
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
    /// Something was done, or left unlooked at, before it failed.
    #[error("{}; then", tell(done))]
    Partly {
        /// What was done.
        done: Disconnection,
        /// What went wrong.
        source: Box<DisconnectFailure>,
    },
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
            DisconnectFailure::InUse { .. }
            | DisconnectFailure::Unknown { .. }
            | DisconnectFailure::Unseen { .. }
            | DisconnectFailure::Disconnect(DisconnectError::Pcie { .. }) => Exit::Refused,
            DisconnectFailure::Disconnect(
                DisconnectError::StillThere { .. } | DisconnectError::NeverLive { .. },
            ) => Exit::TimedOut,
            DisconnectFailure::Partly { source, .. } => source.exit(),
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
            DisconnectFailure::Disconnect(DisconnectError::StillThere { .. }) => {
                "the kernel is still shutting it down: run the same command again to wait longer"
            }
            DisconnectFailure::Unidentified { .. }
            | DisconnectFailure::Disconnect(DisconnectError::NeverLive { .. }) => {
                "end the connect that made it; otherwise it goes when the kernel gives its first \
                    connect up"
            }
            DisconnectFailure::Partly { source, .. } => return source.remedy(),
            _ => return None,
        };
        Some(text.to_owned())
    }
}

impl DisconnectFailure {
    /// The same failure with what came before it.
    pub(super) fn after(self, done: Disconnection) -> DisconnectFailure {
        if done.disconnected.is_empty() && done.unchecked.is_empty() {
            return self;
        }
        let source = Box::new(self);
        DisconnectFailure::Partly { done, source }
    }
}

fn join(uses: &[Use], gaps: &[String]) -> String {
    let mut texts: Vec<_> = uses.iter().map(ToString::to_string).collect();
    texts.extend(gaps.iter().map(|gap| format!("not looked at: {gap}")));
    texts.join("; ")
}

fn tell(done: &Disconnection) -> String {
    let mut texts = vec![done.summary()];
    texts.extend(
        done.unchecked
            .iter()
            .map(|gap| format!("not looked at: {gap}")),
    );
    texts.join("; ")
}
