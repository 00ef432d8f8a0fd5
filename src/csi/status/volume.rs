//! The codes of what the volumes answer.
//!
//! Every error is final: a call that failed has undone what it did. So UNAVAILABLE stands only where
//! the same call can succeed without anybody changing anything, and FAILED_PRECONDITION where
//! somebody has to.

use nvme_fabrics::{Cause, ConnectError, OpenDeviceError, Refusal, RetryClass};
use tonic::Code;

use super::Coded;
use crate::report::outcome::Reason;
use crate::volume::{
    AttachError, ChooseHoldError, DetachError, ExpandError, HealthError, LetGoError, PublishError,
    StageError, StatsError, SwapError, UnpublishError, UnstageError,
};

impl Coded for StageError {
    fn code(&self) -> Code {
        match self {
            // kubelet's own retry of a call that still runs, which it repeats until that has ended.
            StageError::Busy => Code::Aborted,
            // The code of the specification: the caller has to unstage first, or to ask for the same.
            StageError::Incompatible { .. } => Code::AlreadyExists,
            StageError::Attach(error) => error.code(),
            // Data could be lost, or the volume is not fit for what is asked: a person has to look.
            StageError::Identity(_)
            | StageError::Shared { .. }
            | StageError::Covered { .. }
            | StageError::SameUuid { .. }
            | StageError::ForeignMap { .. }
            | StageError::Occupied { .. }
            | StageError::Prepare(_) => Code::FailedPrecondition,
            StageError::Hold(error) => error.code(),
            StageError::Map(error) => error.code(),
            // Its controller may come back.
            StageError::LostAgain => Code::Unavailable,
            StageError::Inspect(error) => error.code(),
            StageError::Format(error) => error.code(),
            StageError::Check(error) => error.code(),
            StageError::Mount(error) => error.code(),
            // This machine does not do what it always does.
            StageError::Record(_)
            | StageError::Look(_)
            | StageError::Head(_)
            | StageError::NotMounted { .. } => Code::Internal,
        }
    }

    fn remedy(&self) -> Option<&'static str> {
        match self {
            StageError::Attach(error) => error.remedy(),
            _ => None,
        }
    }

    fn reason(&self) -> Reason {
        match self {
            StageError::Attach(AttachError::NoController { .. }) => Reason::ConnectionFailure,
            _ => Reason::MountFailure,
        }
    }
}

impl Coded for AttachError {
    fn code(&self) -> Code {
        match self {
            AttachError::NoController { source, .. } => source.code(),
            // The target may export it in a moment.
            AttachError::NotReady { .. } => Code::Unavailable,
            // The author of the volume has to say which one, or other options.
            AttachError::Ambiguous(_) | AttachError::Options(_) => Code::FailedPrecondition,
            // It has heard DEADLINE_EXCEEDED already, or nothing.
            AttachError::GivenUp { .. } => Code::DeadlineExceeded,
            AttachError::Scan(_) => Code::Internal,
        }
    }

    fn remedy(&self) -> Option<&'static str> {
        match self {
            AttachError::NoController { source, .. } => source.remedy(),
            AttachError::Ambiguous(_) => Some("set namespaceUUID or nsid"),
            AttachError::NotReady { .. }
            | AttachError::GivenUp { .. }
            | AttachError::Options(_)
            | AttachError::Scan(_) => None,
        }
    }
}

impl Coded for ConnectError {
    fn code(&self) -> Code {
        match self {
            // The author of the Secret has to correct it.
            refused if is_refused_key(refused) => Code::Unauthenticated,
            other => match other.class() {
                RetryClass::Transient | RetryClass::AlreadyConnected => Code::Unavailable,
                // The administrator of this node or of the target has to change something.
                RetryClass::Permanent => Code::FailedPrecondition,
            },
        }
    }

    fn remedy(&self) -> Option<&'static str> {
        match self {
            refused if is_refused_key(refused) => Some(
                "compare the keys in the Secret that the volume's nodeStageSecretRef names with \
                 those of this host at the target",
            ),
            ConnectError::Device(OpenDeviceError::Missing { .. }) => Some(
                "on the node, add the line `nvme-fabrics` to \
                 /etc/modules-load.d/nvmeof-csi.conf, and load it now with `modprobe nvme-fabrics`",
            ),
            other if matches!(other.cause(), Some(Cause::NoTransport)) => Some(
                "on the node, add the line `nvme-tcp` (`nvme-rdma`, `nvme-loop`) to \
                 /etc/modules-load.d/nvmeof-csi.conf, and load it now with `modprobe`",
            ),
            _ => None,
        }
    }
}

/// Whether the target did not believe who this host is, or this host not the target. Kernels up to 6.9
/// answer EIO to that, and only their log tells it from other refusals.
fn is_refused_key(error: &ConnectError) -> bool {
    let of_keys = [
        Refusal::KeyMissing,
        Refusal::KeyRejected,
        Refusal::KeyRevoked,
    ];
    error
        .refusal()
        .is_some_and(|refusal| of_keys.contains(&refusal))
        || matches!(error.cause(), Some(Cause::AuthRequired | Cause::AuthFailed))
}

impl Coded for UnstageError {
    fn code(&self) -> Code {
        match self {
            UnstageError::Busy => Code::Aborted,
            // kubelet has to unpublish first.
            UnstageError::Published { .. } => Code::FailedPrecondition,
            // The target may come back, or the other volumes of the subsystem may go.
            UnstageError::Held | UnstageError::Kept { .. } => Code::Unavailable,
            UnstageError::Unmount(error) => error.code(),
            UnstageError::Detach(error) => error.code(),
            UnstageError::LetGo(error) => error.code(),
            UnstageError::Map(error) => error.code(),
            UnstageError::Record(_) | UnstageError::Look(_) => Code::Internal,
        }
    }
}

impl Coded for ChooseHoldError {
    fn code(&self) -> Code {
        match self {
            // The author of the volume, or the administrator of the node, has to change something.
            ChooseHoldError::Hold(_) => Code::FailedPrecondition,
            ChooseHoldError::Company(_)
            | ChooseHoldError::Records(_)
            | ChooseHoldError::Look(_) => Code::Internal,
        }
    }
}

impl Coded for SwapError {
    fn code(&self) -> Code {
        match self {
            SwapError::Map(error) => error.code(),
            // The keeper, or the next stage, makes it anew.
            SwapError::LetGo { .. } | SwapError::NoDisk => Code::Unavailable,
            SwapError::Look(_) => Code::Internal,
        }
    }
}

impl Coded for LetGoError {
    fn code(&self) -> Code {
        match self {
            LetGoError::Map(error) => error.code(),
            // The kernel is still at it, or the target takes long to say goodbye.
            LetGoError::Disconnect { .. } => Code::Unavailable,
            LetGoError::Records(_) | LetGoError::Owner(_) | LetGoError::Look(_) => Code::Internal,
        }
    }
}

impl Coded for DetachError {
    fn code(&self) -> Code {
        match self {
            // Whoever uses the disk has to let go of it.
            DetachError::InUse { .. } => Code::FailedPrecondition,
            // The kernel is still at it, or the target takes long to say goodbye.
            DetachError::Disconnect { .. } => Code::Unavailable,
            DetachError::Records(_)
            | DetachError::Scan(_)
            | DetachError::Owner(_)
            | DetachError::Usage { .. } => Code::Internal,
        }
    }
}

impl Coded for PublishError {
    fn code(&self) -> Code {
        match self {
            PublishError::Busy => Code::Aborted,
            // The code of the specification for a volume that is there in another way.
            PublishError::Incompatible { .. } => Code::AlreadyExists,
            // The codes of the specification: kubelet has to stage it first, or the other pod of a
            // volume for one pod has to go first.
            PublishError::NotStaged { .. } | PublishError::SingleWriter { .. } => {
                Code::FailedPrecondition
            }
            // It has to be staged again, or a person has to look.
            PublishError::OtherDisk { .. }
            | PublishError::Identity(_)
            | PublishError::StaleStaging { .. }
            | PublishError::Occupied { .. } => Code::FailedPrecondition,
            // Its controller may come back.
            PublishError::NoDisk => Code::Unavailable,
            PublishError::Device(error) => error.code(),
            PublishError::MountPoint(error) => error.code(),
            PublishError::Mount(error) => error.code(),
            PublishError::Record(_) | PublishError::Look(_) | PublishError::NotMounted { .. } => {
                Code::Internal
            }
        }
    }
}

impl Coded for UnpublishError {
    fn code(&self) -> Code {
        match self {
            UnpublishError::Busy => Code::Aborted,
            UnpublishError::Unmount(error) => error.code(),
            UnpublishError::MountPoint(error) => error.code(),
            UnpublishError::Record(_) => Code::Internal,
        }
    }
}

/// Here kubelet reads more into a code (`isInfeasibleError` and `inUseError` in its expander.go):
/// after INVALID_ARGUMENT, OUT_OF_RANGE and NOT_FOUND it marks the expansion as impossible, and
/// after FAILED_PRECONDITION it does not try again while the volume is in use. So those stand only
/// where that is right.
impl Coded for ExpandError {
    fn code(&self) -> Code {
        match self {
            ExpandError::Busy => Code::Aborted,
            ExpandError::NotFound { .. } => Code::NotFound,
            ExpandError::TooLarge { .. } => Code::OutOfRange,
            // The namespace may have grown, or the volume be repaired, at the next attempt.
            ExpandError::TooSmall { .. }
            | ExpandError::NoDisk
            | ExpandError::Identity(_)
            | ExpandError::StaleStaging { .. } => Code::Unavailable,
            ExpandError::Map(error) => match error.code() {
                Code::FailedPrecondition => Code::Unavailable,
                code => code,
            },
            ExpandError::Grow(_)
            | ExpandError::Record(_)
            | ExpandError::Scan(_)
            | ExpandError::Look(_) => Code::Internal,
        }
    }
}

impl Coded for StatsError {
    fn code(&self) -> Code {
        match self {
            // kubelet asks again after a while, and forgets the volume when its pod has gone.
            StatsError::NotFound { .. } | StatsError::NotThere { .. } => Code::NotFound,
            StatsError::Record(_) | StatsError::Look(_) | StatsError::Statvfs { .. } => {
                Code::Internal
            }
        }
    }
}

impl Coded for HealthError {
    fn code(&self) -> Code {
        match self {
            // kubelet keeps the conditions that it was told before.
            HealthError::Record(_) | HealthError::Look(_) => Code::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::MapError;

    #[test]
    fn a_map_that_cannot_grow_now_is_tried_again_while_the_volume_is_in_use() {
        let no_control = MapError::NoControl {
            path: "/dev/mapper/control".into(),
            source: rustix::io::Errno::NOENT,
        };
        let error = ExpandError::Map(SwapError::Map(no_control));
        assert_eq!(error.code(), Code::Unavailable);
    }
}
