//! The codes of what the controller answers.
//!
//! The attacher tries again after every error, and shows the message in the VolumeAttachment and in
//! an event of the pod.

use tonic::Code;

use super::Coded;
use crate::cluster::{AdmitError, LookError};

impl Coded for AdmitError {
    fn code(&self) -> Code {
        match self {
            AdmitError::Look(error) => error.code(),
            // The codes of the specification for a volume and a node that do not exist.
            AdmitError::NoVolume { .. } | AdmitError::NoNode { .. } => Code::NotFound,
            // The code of the specification for a volume that another node has: that one first.
            AdmitError::Elsewhere { .. } => Code::FailedPrecondition,
        }
    }

    fn remedy(&self) -> Option<&'static str> {
        match self {
            AdmitError::Look(error) => error.remedy(),
            _ => None,
        }
    }
}

impl Coded for LookError {
    fn code(&self) -> Code {
        match self.is_refused() {
            // The administrator has to grant it.
            true => Code::FailedPrecondition,
            // The API server comes back.
            false => Code::Unavailable,
        }
    }

    fn remedy(&self) -> Option<&'static str> {
        self.is_refused().then_some(
            "give the controller's ServiceAccount the rights of \
             deploy/kubernetes/controller-clusterrole.yaml",
        )
    }
}
