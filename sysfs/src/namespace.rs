//! Namespaces: disks that the host sees, `nvmeXnY`.
//!
//! Invariant: X is the number of the subsystem or of the controller and Y a running number; neither is the NSID. What a
//! disk holds is told by its identity alone.

use std::time::Duration;

use crate::device::{DevT, Diskseq, Instance};
use crate::diagnostics::HeadCounters;
use crate::error::Unknown;
use crate::identity::{NamespaceIdentity, Wwid};

/// Whose disk it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NamespaceKind {
    /// The multipath head of the subsystem: I/O goes through any path.
    Head,
    /// The disk of this one controller: `nvme_core.multipath=N`, or a subsystem that allows one controller only.
    Disk(Instance),
}

/// One disk as sysfs shows it at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// Name of the disk, `nvme0n1`.
    pub name: String,
    /// Whose disk it is.
    pub kind: NamespaceKind,
    /// Number of the block device.
    pub dev: Option<DevT>,
    /// Sequence number of the disk (since 5.15).
    pub diskseq: Option<Diskseq>,
    /// Identifiers.
    pub identity: NamespaceIdentity,
    /// The kernel's own choice among the identifiers.
    pub wwid: Option<Wwid>,
    /// Size in bytes; zero for one on its way in or out, and where the size is unknown.
    pub size_bytes: u64,
    /// Size of a logical block in bytes.
    pub logical_block_size: Option<u32>,
    /// Command set: 0 NVM, 1 key value, 2 zoned (since 6.8).
    pub csi: Option<u8>,
    /// Bytes of metadata per logical block (since 6.8).
    pub metadata_bytes: Option<u32>,
    /// Whether the disk refuses writes.
    pub read_only: Option<bool>,
    /// How long a head outlives its last path with I/O held (since 6.16); zero: not at all.
    pub delayed_removal: Option<Duration>,
    /// Counters of a head (7.x).
    pub counters: HeadCounters,
    /// Names of the block devices stacked on this one (`dm-0`, `md127`), sorted.
    pub holders: Vec<String>,
    /// What of it could not be read.
    pub unknown: Vec<Unknown>,
}

impl Namespace {
    /// Whether this is a multipath head.
    #[must_use]
    pub fn is_head(&self) -> bool {
        self.kind == NamespaceKind::Head
    }

    /// Whether it says all that it is. The kernel shows a disk, with its size, before the attributes of its queue, and takes
    /// these away first (`device_add_disk` and `del_gendisk`, block/genhd.c): of one on its way in or out nobody can tell
    /// whether it is as it was.
    #[must_use]
    pub fn is_set_up(&self) -> bool {
        self.size_bytes > 0 && self.logical_block_size.is_some()
    }

    /// The first thing that is unknown of it, of those that tell what it is.
    #[must_use]
    pub fn doubt(&self) -> Option<&Unknown> {
        self.unknown.iter().find(|unknown| unknown.matters())
    }
}
