//! Which code an error becomes: the only place that knows gRPC codes.
//!
//! A code is chosen for what its reader does. kubelet repeats every call that failed, after 0.5 s at
//! first and at most about two minutes later, and shows the message in an event of the pod. Beyond
//! that it knows two kinds (`isFinalError` in its csi_client.go): after CANCELLED,
//! DEADLINE_EXCEEDED, UNAVAILABLE, RESOURCE_EXHAUSTED and ABORTED it takes a volume for possibly
//! there, and calls NodeUnstageVolume and NodeUnpublishVolume before it forgets the pod; after any
//! other code it takes for certain that nothing was left behind.

mod attach;
mod machine;
mod volume;

use tonic::{Code, Status};

use super::invalid::InvalidRequest;
use crate::causes::chain;
use crate::cluster::node_id::LongNodeId;
use crate::host::blocking::Blocked;
use crate::report::outcome::Reason;

/// Why a call has no result.
#[derive(Debug)]
pub(super) enum Failure<E> {
    /// The request is wrong.
    Invalid(InvalidRequest),
    /// It was not done in time.
    Blocked(Blocked),
    /// It was done, and failed.
    Volume(E),
}

/// An error that knows its code.
pub(super) trait Coded: std::error::Error {
    /// The code for this error.
    fn code(&self) -> Code;

    /// What to do about it, where the error itself does not say.
    fn remedy(&self) -> Option<&'static str> {
        None
    }

    /// As what a user hears of it when a volume could not be mounted.
    fn reason(&self) -> Reason {
        Reason::MountFailure
    }
}

impl<E: Coded> Failure<E> {
    /// As what a user hears of it when a volume could not be mounted.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Failure::Invalid(_) | Failure::Blocked(_) => Reason::MountFailure,
            Failure::Volume(error) => error.reason(),
        }
    }
}

impl<E: Coded> From<Failure<E>> for Status {
    fn from(failure: Failure<E>) -> Status {
        match failure {
            Failure::Invalid(error) => status(&error),
            Failure::Blocked(error) => status(&error),
            Failure::Volume(error) => status(&error),
        }
    }
}

/// The message is the whole chain of causes: kubelet shows it to whoever looks at the pod.
fn status(error: &impl Coded) -> Status {
    let mut message = chain(error);
    if let Some(remedy) = error.remedy() {
        message.push_str("; what to do: ");
        message.push_str(remedy);
    }
    Status::new(error.code(), message)
}

impl Coded for InvalidRequest {
    fn code(&self) -> Code {
        // Whoever wrote the StorageClass or the PersistentVolume has to change it.
        Code::InvalidArgument
    }
}

impl Coded for Blocked {
    fn code(&self) -> Code {
        match self {
            // It may still succeed: the retry is ABORTED while it runs, and then finds it done.
            Blocked::StillRunning { .. } => Code::DeadlineExceeded,
            // Every thread waits for a dead target; a later retry may find one free.
            Blocked::NotBegun { .. } => Code::ResourceExhausted,
            // A defect of this program.
            Blocked::Panicked { .. } => Code::Internal,
        }
    }
}

impl Coded for LongNodeId {
    fn code(&self) -> Code {
        // The administrator has to give the host a shorter name; kubelet registers us then.
        Code::FailedPrecondition
    }
}

/// The name of a code in gRPC's own spelling, for logs and metrics.
pub(super) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
