//! Causes of a failed connect that the kernel does not return but logs; `message.rs` reads them.

use std::fmt;

use nvme_sysfs::Nqn;

use crate::token::TokenSet;

/// A cause that the kernel logs and does not return.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The target knows the subsystem and does not admit this host.
    #[error("the target does not allow this host: {hostnqn} is not among the allowed hosts")]
    HostNotAllowed {
        /// The name that this host gave.
        hostnqn: Nqn,
    },
    /// The target does not know the subsystem, or does not export it on this port (yet).
    #[error("the target has no such subsystem on this port")]
    UnknownSubsystem,
    /// The target refuses our hostnqn as a name.
    #[error("the target refuses the hostnqn as invalid")]
    InvalidHostNqn,
    /// Another hostid goes with our hostnqn on this host, or the reverse (since 6.5).
    #[error("the kernel already uses this hostnqn or hostid in another pair")]
    HostIdConflict,
    /// The kernel does not know the option, or not with this value.
    #[error("the kernel does not know the option {0}, or not with this value")]
    UnknownOption(TokenSet),
    /// The transport does not take the option.
    #[error("the transport does not take the option {0}")]
    NotForTransport(TokenSet),
    /// The transport wants the option.
    #[error("the transport wants the option {0}")]
    MissingOption(TokenSet),
    /// No driver for the transport is loaded.
    #[error("no driver for the transport is loaded: its module is missing")]
    NoTransport,
    /// The host asked for a digest and the target has it off, or the reverse.
    #[error("{digest} digest is {host} on this host and {target} on the target")]
    DigestMismatch {
        /// Which of the two.
        digest: Digest,
        /// Our side.
        host: Switch,
        /// The other side.
        target: Switch,
    },
    /// What answers is no NVMe/TCP controller that the kernel understands.
    #[error("the peer does not answer as an NVMe/TCP controller should")]
    BadHandshake,
    /// The target gave a controller id that another controller of the subsystem has.
    #[error("the target gave a controller id that is in use")]
    DuplicateCntlid,
    /// The subsystem admits one controller and has one.
    #[error("the subsystem does not support several controllers")]
    SingleController,
    /// A discovery controller was asked for.
    #[error("the subsystem is not a discovery subsystem")]
    NotDiscovery,
    /// The controller calls itself otherwise.
    #[error("the controller belongs to another subsystem")]
    WrongNqn,
    /// Connect status 0x181.
    #[error("the controller is busy or not available")]
    ControllerBusy,
    /// The target wants authentication and no secret was given.
    #[error("the target demands authentication")]
    AuthRequired,
    /// Authentication failed on either side.
    #[error("authentication failed")]
    AuthFailed,
    /// The kernel is built without TLS.
    #[error("the kernel is built without TLS for NVMe/TCP")]
    TlsUnsupported,
    /// The target answered the Connect command with another status.
    #[error("the target answered the connect command with status {0:#x}")]
    ConnectStatus(u16),
}

/// A checksum of NVMe/TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// Over the header of each PDU.
    Header,
    /// Over the data of each PDU.
    Data,
}

/// The kernel's word for a digest's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// In use.
    Enabled,
    /// Not in use.
    Disabled,
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Digest::Header => "header",
            Digest::Data => "data",
        })
    }
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Switch::Enabled => "enabled",
            Switch::Disabled => "disabled",
        })
    }
}
