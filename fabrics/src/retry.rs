//! Which failures are worth another attempt.

use crate::cause::Cause;
use crate::error::ConnectError;
use crate::portal::DialError;
use crate::refusal::RetryClass;

impl ConnectError {
    /// What a caller may do about it.
    #[must_use]
    pub fn class(&self) -> RetryClass {
        match self {
            ConnectError::Kernel(refused) => refused.class(),
            ConnectError::Portal(dial) => dial.class(),
            ConnectError::Scan(_)
            | ConnectError::Other { .. }
            | ConnectError::ReadReply(_)
            | ConnectError::Reply(_)
            | ConnectError::State(_)
            | ConnectError::Vanished { .. } => RetryClass::Transient,
            ConnectError::Excluded { .. }
            | ConnectError::HostIdConflict { .. }
            | ConnectError::Device(_)
            | ConnectError::Supported(_)
            | ConnectError::Unsupported { .. } => RetryClass::Permanent,
        }
    }
}

impl Cause {
    /// What a caller may do about it. A target that restarts forgets subsystems and hosts for a
    /// while, so neither is permanent.
    #[must_use]
    pub fn class(&self) -> RetryClass {
        match self {
            Cause::HostNotAllowed { .. }
            | Cause::UnknownSubsystem
            | Cause::DuplicateCntlid
            | Cause::ControllerBusy
            | Cause::ConnectStatus(_) => RetryClass::Transient,
            _ => RetryClass::Permanent,
        }
    }
}

impl DialError {
    /// What a caller may do about it.
    #[must_use]
    pub fn class(&self) -> RetryClass {
        match self {
            DialError::SourceAddress { .. } | DialError::Interface { .. } => RetryClass::Permanent,
            _ => RetryClass::Transient,
        }
    }
}
