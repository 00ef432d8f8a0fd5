//! What the cluster says about the volumes of this driver: which there are, and which node has them.
//!
//! The controller keeps no books of its own. It asks the API server at each call, and what cannot be
//! asked is never taken for free: [`Cluster::admit`] admits a node only where every answer came.

mod admissions;
mod attachment;
mod client;
mod error;
mod known;
mod look;
mod name;
pub mod node_id;
mod objects;
mod obstacle;
mod requests;

use std::time::Duration;

use kube::Client;
use tokio::time::{Instant, timeout};

use crate::volume::request::{AccessMode, VolumeId};
use node_id::NodeId;

use admissions::Admissions;
pub use attachment::Alone;
pub use client::{ClientError, in_cluster};
pub use error::{AdmitError, LookError};
pub use obstacle::{Obstacle, Why};

/// The cluster as one driver sees it.
#[derive(Debug)]
pub struct Cluster {
    look: look::Look,
    admissions: Admissions,
}

/// Which node shall have which volume, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The volume.
    pub volume_id: VolumeId,
    /// The node as it named itself to kubelet.
    pub node_id: NodeId,
    /// By how many nodes the volume may be used.
    pub mode: AccessMode,
}

impl Cluster {
    /// Asks by `client` for the volumes of `driver`.
    #[must_use]
    pub fn of(client: Client, driver: String) -> Cluster {
        Cluster {
            look: look::Look::new(client, driver),
            admissions: Admissions::default(),
        }
    }

    /// Succeeds if the node may have the volume, as far as the cluster knows, within `limit`.
    ///
    /// Of two nodes that ask for a volume for one node, this process admits at most one: their calls
    /// are decided one after the other. So do two controllers of which one takes over from the other,
    /// provided that the first one's answer is written as the attachment's status within 30 s of the
    /// question: a node that asks beside others is admitted only after it has asked for so long. An
    /// attacher that stands still for longer and then writes, without its lease, is not kept from it.
    ///
    /// # Errors
    /// [`AdmitError`]; then nobody was admitted by this call.
    pub async fn admit(&self, wanted: &Wanted, limit: Duration) -> Result<(), AdmitError> {
        let done = timeout(limit, self.decide(wanted)).await;
        done.unwrap_or(Err(AdmitError::Look(LookError::Late)))
    }

    /// Forgets that nodes were admitted to a volume: this one, or all.
    pub fn dismiss(&self, volume_id: &str, node: Option<&str>) {
        self.admissions.dismiss(volume_id, node);
    }

    /// Whether any PersistentVolume of this driver is this volume, asked within `limit`.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn knows(&self, volume_id: &VolumeId, limit: Duration) -> Result<bool, LookError> {
        let volume = timeout(limit, self.look.volume(volume_id.as_str())).await;
        Ok(volume.unwrap_or(Err(LookError::Late))?.is_known)
    }

    /// The error that a volume is none of this driver's.
    #[must_use]
    pub fn unknown(&self, volume_id: VolumeId) -> AdmitError {
        let driver = self.look.driver().to_owned();
        AdmitError::NoVolume { volume_id, driver }
    }

    async fn decide(&self, wanted: &Wanted) -> Result<(), AdmitError> {
        let volume_id = wanted.volume_id.as_str();
        // Held until this call is decided: what one call admits, the next one must know.
        let mut requests = self.admissions.of(volume_id).await;
        let now = Instant::now();
        let volume = self.look.volume(volume_id).await?;
        if !volume.is_known {
            return Err(self.unknown(wanted.volume_id.clone()));
        }
        let own = volume.attachments.iter().find(|one| one.is_of(wanted));
        let node = own.map_or(&wanted.node_id.name, |own| &own.node);
        self.look.check_node(node, &wanted.node_id).await?;
        requests.keep_open(&volume.attachments);
        if let Some(own) = own.filter(|own| own.is_open()) {
            requests.note(own, now);
        }
        match obstacle::find(wanted, &volume.attachments, &requests, now) {
            Some(obstacle) => Err(AdmitError::Elsewhere {
                volume_id: wanted.volume_id.clone(),
                obstacle,
            }),
            None => {
                requests.admit(node, Instant::now());
                Ok(())
            }
        }
    }
}
