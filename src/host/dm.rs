//! Device-mapper maps that hold I/O while a volume has no path.
//!
//! A map is one `multipath` target over the disks of a volume, with `queue_if_no_path`: a write that
//! finds no path waits in the map, above every device that may go. A map that has lost its last disk is
//! suspended: its I/O waits as well, and costs nothing. One whose disk has a bad block is `linear` for a moment, so
//! that the error of that block reaches its caller. One that was let go fails its I/O, by the same
//! table without queueing, and has a name that says so: one with another name was left without queueing by a suspend
//! that was cut off. What is read stands in
//! `/sys/block/dm-N` and is asked of `/dev/mapper/control`; what changes a map are methods of
//! [`Host`](crate::host::Host).
//!
//! Sources: include/uapi/linux/dm-ioctl.h, drivers/md/dm-mpath.c, dm-ioctl.c.
//!
//! Invariant: a map is known by its UUID, which begins with a prefix of ours; no other map is ever
//! changed.

mod change;
mod control;
mod error;
#[cfg(test)]
pub(crate) mod fixture;
mod id;
mod lock;
mod read;
mod status;
mod suspend;
mod table;

pub(crate) use change::{
    clear_table, create, fail_path, let_go, load, queue_if_no_path, reinstate, remove, resume,
};
pub use control::is_available;
pub use error::{DmCall, MapError, ReadMapsError};
pub use id::MapId;
pub(crate) use lock::{LOCK_PATIENCE, MapLock, lock};
pub use read::{read_map, read_maps};
pub use status::{MapPath, OnPathLoss, ParseStatusError, PathState};
pub(crate) use suspend::suspend;
pub use table::MapTable;

use nvme_sysfs::{DevT, Diskseq};

use super::io_counts::IoCounts;

/// A map of ours as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    /// Which one.
    pub id: MapId,
    /// Kernel name of its disk, `dm-0`.
    pub disk: String,
    /// Number of its disk.
    pub dev: DevT,
    /// Sequence number of its disk, where the kernel has one.
    pub diskseq: Option<Diskseq>,
    /// Size of its disk in bytes; 0 before its first table.
    pub size_bytes: u64,
    /// Whether somebody lets it go, which its name says from before its I/O fails for as long as it is there.
    pub is_let_go: bool,
    /// Whether all its I/O waits, whatever its table says: it is held, or somebody else suspended it.
    pub suspended: bool,
    /// Whether a table was loaded and did not become the live one.
    pub has_inactive_table: bool,
    /// Its paths; empty before its first table.
    pub paths: Vec<MapPath>,
    /// What becomes of I/O that finds no path; unknown where the control device cannot be asked.
    pub on_path_loss: Option<OnPathLoss>,
    /// Its I/O that is under way, if there is any.
    pub io: Option<IoCounts>,
}

impl Map {
    /// The path over this disk.
    #[must_use]
    pub fn find_path(&self, dev: DevT) -> Option<&MapPath> {
        self.paths.iter().find(|path| path.dev == dev)
    }

    /// The paths that I/O is sent to, as far as is known.
    pub fn usable_paths(&self) -> impl Iterator<Item = &MapPath> {
        let failed = |path: &&MapPath| path.state == Some(PathState::Failed);
        self.paths.iter().filter(move |path| !failed(path))
    }

    /// Whether it hands each error up, and would hold nothing.
    #[must_use]
    pub fn passes_errors(&self) -> bool {
        self.on_path_loss == Some(OnPathLoss::Pass)
    }

    /// Whether its I/O fails: it was let go, and never holds again. So does that of one that was let go while it passed
    /// errors.
    #[must_use]
    pub fn was_let_go(&self) -> bool {
        let fails = matches!(self.on_path_loss, Some(OnPathLoss::Fail | OnPathLoss::Pass));
        self.is_let_go && fails
    }

    /// Whether its I/O would fail though nobody lets it go: a suspend of it was cut off.
    #[must_use]
    pub fn has_lost_its_queue(&self) -> bool {
        !self.is_let_go && self.on_path_loss == Some(OnPathLoss::Fail)
    }
}
