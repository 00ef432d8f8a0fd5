//! Why a connect failed; what the kernel's errno means stands in `refusal.rs`, what to do about a
//! failure in `retry.rs`.
//!
//! Source: kernel sources 6.1, 6.12 and 7.x, and the same failures provoked on those kernels.

use std::io;
use std::path::PathBuf;

use nvme_sysfs::{Instance, Nqn, ScanError, Uuid};

use crate::cause::Cause;
use crate::open::OpenDeviceError;
use crate::options::ConnectOptions;
use crate::portal::DialError;
use crate::refusal::{Explanation, Refusal, Refused};
use crate::reply::ReplyError;
use crate::supported::SupportedError;
use crate::token::TokenSet;

/// Why a connect failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The administrator has excluded the controller (`/etc/nvme/exclusions.conf`).
    #[error("connecting {nqn} is excluded by {entry:?} in {}", path.display())]
    Excluded {
        /// The subsystem.
        nqn: Nqn,
        /// The matching entry.
        entry: String,
        /// Its file.
        path: PathBuf,
    },
    /// The controllers that exist could not be read.
    #[error("cannot read the existing controllers")]
    Scan(#[from] ScanError),
    /// A controller of this host uses one half of the host identity with another other half.
    #[error(
        "hostnqn {hostnqn} and hostid {hostid} must go together, but {controller} uses hostnqn \
         {other_hostnqn} with hostid {other_hostid}"
    )]
    HostIdConflict {
        /// What was to be used.
        hostnqn: Nqn,
        /// What was to be used.
        hostid: Uuid,
        /// Who uses another pair.
        controller: Instance,
        /// What it uses.
        other_hostnqn: Nqn,
        /// What it uses.
        other_hostid: Uuid,
    },
    /// The TCP portal cannot be reached; the kernel was not asked.
    #[error("the kernel was not asked to connect")]
    Portal(#[from] DialError),
    /// `/dev/nvme-fabrics` cannot be opened.
    #[error(transparent)]
    Device(#[from] OpenDeviceError),
    /// The list of supported options could not be had.
    #[error(transparent)]
    Supported(SupportedError),
    /// The running kernel does not take these options.
    #[error("the running kernel does not support {tokens}")]
    Unsupported {
        /// The options.
        tokens: TokenSet,
    },
    /// The kernel refused it.
    #[error(transparent)]
    Kernel(Box<Refused>),
    /// An errno that the kernel's sources do not explain.
    #[error("the kernel failed to connect {nqn}")]
    Other {
        /// The subsystem.
        nqn: Nqn,
        /// The errno.
        source: io::Error,
    },
    /// The kernel connected and its reply is not readable.
    #[error("connected, but the reply could not be read")]
    ReadReply(#[source] io::Error),
    /// The kernel connected and replied something unknown.
    #[error("connected, but the reply is malformed")]
    Reply(#[from] ReplyError),
    /// The kernel connected and the new controller could not be read.
    #[error("connected, but the state of the new controller could not be read")]
    State(#[source] io::Error),
    /// The controller was gone when its state was read.
    #[error("{controller} of {nqn} was made and disappeared at once")]
    Vanished {
        /// The controller.
        controller: Instance,
        /// Its subsystem.
        nqn: Nqn,
    },
}

impl From<Refused> for ConnectError {
    fn from(refused: Refused) -> ConnectError {
        ConnectError::Kernel(Box::new(refused))
    }
}

impl From<SupportedError> for ConnectError {
    fn from(error: SupportedError) -> ConnectError {
        match error {
            SupportedError::Device(error) => ConnectError::Device(error),
            error => ConnectError::Supported(error),
        }
    }
}

impl ConnectError {
    /// What the errno of a failed write means for `options`.
    pub(crate) fn from_write(source: io::Error, options: &ConnectOptions) -> ConnectError {
        match Refused::of_write(&source, options) {
            Some(refused) => refused.into(),
            None => ConnectError::Other {
                nqn: options.nqn().clone(),
                source,
            },
        }
    }

    /// Why the kernel refused, if it was the kernel.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            ConnectError::Kernel(refused) => Some(refused.refusal),
            _ => None,
        }
    }

    /// The cause that the kernel's log named.
    #[must_use]
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            ConnectError::Kernel(refused) => match &refused.explanation {
                Explanation::Known(cause) => Some(cause),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether a signal ended it before anything was connected.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.refusal() == Some(Refusal::Interrupted)
            || matches!(self, ConnectError::Portal(DialError::Interrupted { .. }))
    }
}
