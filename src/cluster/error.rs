//! Why a node was not admitted to a volume.

use thiserror::Error;

use super::node_id::NodeName;
use super::obstacle::Obstacle;
use crate::report::ApiError;
use crate::volume::request::VolumeId;

/// Why a node was not admitted.
#[derive(Debug, Error)]
pub enum AdmitError {
    /// It is not known who has the volume.
    #[error("cannot ask the cluster who has the volume, so nobody is admitted to it")]
    Look(#[from] LookError),
    /// The volume is none of this driver's.
    #[error("no PersistentVolume of driver {driver} has the handle {:?}", volume_id.as_str())]
    NoVolume {
        /// The volume.
        volume_id: VolumeId,
        /// The driver.
        driver: String,
    },
    /// The node is none of this driver's.
    #[error("node {:?} {rule}", node.as_str())]
    NoNode {
        /// The name of the node in the cluster.
        node: NodeName,
        /// What is wrong with it.
        rule: String,
    },
    /// Another node has the volume, or goes first.
    #[error("volume {:?} {obstacle}", volume_id.as_str())]
    Elsewhere {
        /// The volume.
        volume_id: VolumeId,
        /// Who.
        obstacle: Obstacle,
    },
}

/// Why the cluster did not say.
#[derive(Debug, Error)]
pub enum LookError {
    /// The caller's time is over.
    #[error("the API server did not answer in time")]
    Late,
    /// The API server did not answer, or refused.
    #[error("cannot {question}")]
    Api {
        /// What it was asked to do.
        question: &'static str,
        /// Why.
        source: ApiError,
    },
}

impl LookError {
    /// Whether the API server refused what this program may not ask.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        match self {
            LookError::Late => false,
            LookError::Api { source, .. } => source.is_refused(),
        }
    }
}
