//! Why a connect failed, one variant for each condition; `errno.rs` tells which, `retry.rs` what
//! to do about it.
//!
//! Source: kernel sources 6.1, 6.12 and 7.x, and the same failures provoked on those kernels.

use std::fmt;
use std::io;
use std::path::PathBuf;

use nvme_sysfs::{Instance, Nqn, ScanError, Uuid};

use crate::cause::Cause;
use crate::open::OpenDeviceError;
use crate::portal::DialError;
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
    /// EALREADY: the kernel has this controller already.
    #[error("a controller of {nqn} with this address exists already")]
    AlreadyConnected {
        /// The subsystem.
        nqn: Nqn,
    },
    /// EINVAL: a rule of the kernel or of the protocol is broken.
    #[error("the kernel refused to connect {nqn} (EINVAL): {explanation}")]
    Invalid {
        /// The subsystem.
        nqn: Nqn,
        /// What its log says.
        explanation: Explanation,
    },
    /// EIO: the target answered a command of the connect with a failure.
    #[error("the target refused the connect of {nqn} (EIO): {explanation}")]
    Rejected {
        /// The subsystem.
        nqn: Nqn,
        /// What the kernel's log says.
        explanation: Explanation,
    },
    /// ECONNREFUSED inside the kernel.
    #[error("the connection for {nqn} was refused")]
    Refused {
        /// The subsystem.
        nqn: Nqn,
    },
    /// ECONNREFUSED where the controller had to authenticate itself.
    #[error("the connection for {nqn} was refused, or its controller failed its authentication")]
    RefusedOrUnproven {
        /// The subsystem.
        nqn: Nqn,
    },
    /// ETIMEDOUT: no answer to the SYN (about 3 s) or to the TLS handshake.
    #[error("the connection for {nqn} timed out in the kernel")]
    TimedOut {
        /// The subsystem.
        nqn: Nqn,
    },
    /// EAGAIN: no ICResp within the kernel's 10 s.
    #[error(
        "the peer accepted the connection for {nqn} but never answered within the kernel's 10 s"
    )]
    NeverAnswered {
        /// The subsystem.
        nqn: Nqn,
    },
    /// ECONNRESET, ENOTCONN or EPIPE: the peer closed during the handshake.
    #[error("the peer closed the connection for {nqn} during the handshake")]
    PeerClosed {
        /// The subsystem.
        nqn: Nqn,
    },
    /// EHOSTUNREACH or ENETUNREACH.
    #[error("no route to the address of {nqn}")]
    Unreachable {
        /// The subsystem.
        nqn: Nqn,
    },
    /// EADDRNOTAVAIL.
    #[error("host_traddr {host_traddr} is not an address of this host")]
    SourceAddress {
        /// What was given.
        host_traddr: String,
    },
    /// ENODEV.
    #[error("host_iface {host_iface} does not exist")]
    Interface {
        /// What was given.
        host_iface: String,
    },
    /// ENOKEY.
    #[error(
        "no key for {nqn}: the target demands authentication, or a TLS key is not in the keyring"
    )]
    KeyMissing {
        /// The subsystem.
        nqn: Nqn,
    },
    /// EKEYREJECTED.
    #[error("the key for {nqn} was rejected")]
    KeyRejected {
        /// The subsystem.
        nqn: Nqn,
    },
    /// EKEYREVOKED.
    #[error("the key for {nqn} is revoked")]
    KeyRevoked {
        /// The subsystem.
        nqn: Nqn,
    },
    /// EACCES: the TLS handshake failed.
    #[error("the TLS handshake for {nqn} failed")]
    TlsRefused {
        /// The subsystem.
        nqn: Nqn,
    },
    /// EOPNOTSUPP: target and host have no common ground.
    #[error(
        "{nqn} needs something that this host does not offer: TLS without its daemon tlshd, \
         secure concatenation, or a target without SGL support"
    )]
    NotSupported {
        /// The subsystem.
        nqn: Nqn,
    },
    /// EPROTONOSUPPORT.
    #[error("{nqn} demands authentication and this kernel is built without it")]
    NoAuthentication {
        /// The subsystem.
        nqn: Nqn,
    },
    /// EPROTO.
    #[error("the authentication exchange with {nqn} was malformed")]
    AuthProtocol {
        /// The subsystem.
        nqn: Nqn,
    },
    /// EBUSY.
    #[error("the module of the transport is being unloaded")]
    ModuleBusy,
    /// ENOENT or EBADR over Fibre Channel.
    #[error("there is no such pair of Fibre Channel ports")]
    NoFcPort,
    /// ENOMEM.
    #[error("{nqn} granted no I/O queue, or the kernel is out of memory")]
    NoResources {
        /// The subsystem.
        nqn: Nqn,
    },
    /// EXDEV.
    #[error("no online CPU is mapped to the I/O queues of {nqn}")]
    NoCpu {
        /// The subsystem.
        nqn: Nqn,
    },
    /// EINTR or ERESTARTSYS: a signal ended the wait.
    #[error("connecting {nqn} was interrupted by a signal")]
    Interrupted {
        /// The subsystem.
        nqn: Nqn,
    },
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

/// What the kernel's log says about a bare EIO or EINVAL.
#[derive(Debug)]
pub enum Explanation {
    /// A known message about this call.
    Known(Cause),
    /// No known message about this call.
    NothingLogged,
    /// The log cannot be read: EPERM without CAP_SYSLOG.
    LogUnreadable(io::Error),
    /// The caller did not ask.
    NotAsked,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Explanation::Known(cause) => write!(f, "{cause}"),
            Explanation::NothingLogged => f.write_str("the kernel's log names no known cause"),
            Explanation::LogUnreadable(error) => write!(
                f,
                "the cause stands in the kernel's log, which cannot be read ({error}): \
                 CAP_SYSLOG is needed"
            ),
            Explanation::NotAsked => f.write_str("the cause stands in the kernel's log"),
        }
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
    /// The cause that the kernel's log named.
    #[must_use]
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            ConnectError::Invalid { explanation, .. }
            | ConnectError::Rejected { explanation, .. } => match explanation {
                Explanation::Known(cause) => Some(cause),
                _ => None,
            },
            _ => None,
        }
    }
}
