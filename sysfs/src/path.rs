//! Namespace paths: hidden disks `nvmeXcYnZ`, one per controller that reaches a multipath head.
//!
//! Invariant: a path has no device node and must never be handed out as a disk.

use crate::device::{Diskseq, Instance};
use crate::diagnostics::PathCounters;
use crate::error::Unknown;
use crate::identity::{NamespaceIdentity, Wwid};
use crate::word::kernel_word;

kernel_word! {
    /// Asymmetric namespace access state of a path, attribute `ana_state`.
    AnaState {
        /// Best way to the namespace.
        Optimized = "optimized",
        /// Usable, not the best.
        NonOptimized = "non-optimized",
        /// Not usable now.
        Inaccessible = "inaccessible",
        /// Not usable any more.
        PersistentLoss = "persistent-loss",
        /// On its way to another state.
        Change = "change",
    }
}

impl AnaState {
    /// Whether the target serves I/O in this state.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        matches!(self, Self::Optimized | Self::NonOptimized)
    }
}

/// One route to a namespace as sysfs shows it at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespacePath {
    /// Name of the hidden disk, `nvme0c1n1`.
    pub name: String,
    /// The controller it goes through.
    pub controller: Instance,
    /// Name of the head it belongs to, `nvme0n1`. While every path is inaccessible the head itself may not exist.
    pub head: String,
    /// Access state; absent where the controller does not report any, and then the path is usable; `unknown` where it could
    /// not be read.
    pub ana_state: Option<AnaState>,
    /// Access group at the target.
    pub ana_grpid: Option<u32>,
    /// Identifiers.
    pub identity: NamespaceIdentity,
    /// The kernel's own choice among the identifiers.
    pub wwid: Option<Wwid>,
    /// Sequence number of the hidden disk (since 5.15).
    pub diskseq: Option<Diskseq>,
    /// Size in bytes; zero where it is unknown.
    pub size_bytes: u64,
    /// Command set: 0 NVM, 1 key value, 2 zoned (since 6.8).
    pub csi: Option<u8>,
    /// Bytes of metadata per logical block (since 6.8).
    pub metadata_bytes: Option<u32>,
    /// Whether the path refuses writes.
    pub read_only: Option<bool>,
    /// Requests in flight, told only under the I/O policy `queue-depth` (since 6.15).
    pub queue_depth: Option<u32>,
    /// Memory nodes served by this path (`0-1,3`), told only under the I/O policy `numa` (since 6.15).
    pub numa_nodes: Option<String>,
    /// Counters (7.x).
    pub counters: PathCounters,
    /// What of it could not be read.
    pub unknown: Vec<Unknown>,
}

impl NamespacePath {
    /// Whether the target serves I/O on this path: an access state that says so, or none at all. The state of the
    /// controller is another matter.
    #[must_use]
    pub fn is_accessible(&self) -> bool {
        self.ana_state.as_ref().is_none_or(AnaState::is_usable)
    }
}
