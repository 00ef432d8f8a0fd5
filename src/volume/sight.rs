//! What is looked at to judge a volume: the NVMe devices, the maps and the mounts of this node.
//!
//! Invariant: nothing of a volume is touched, but for an xfs whose disk is reached, which is asked whether it has shut
//! down; what cannot be read is an error, never "nothing there".

use std::path::Path;

use nvme_sysfs::{ScanError, Tree};
use thiserror::Error;

use super::mounts::{ReadMountsError, read_mounts};
use super::xfs_shutdown::note_shutdowns;
use crate::host::MapId;
use crate::host::dm::{Map, ReadMapsError, read_maps};
use crate::host::mountinfo::MountTable;
use crate::host::question::Questions;
use crate::watch::Snapshot;

/// This node at one moment.
#[derive(Debug, Clone)]
pub struct Sight {
    /// The NVMe devices.
    pub tree: Snapshot,
    /// The maps of this program.
    pub maps: Vec<Map>,
    /// The mounts that this program sees.
    pub mounts: MountTable,
}

/// Why this node cannot be judged.
#[derive(Debug, Error)]
pub enum LookError {
    /// The NVMe devices cannot be read.
    #[error("cannot read the NVMe devices")]
    Scan(#[from] ScanError),
    /// The maps cannot be read.
    #[error("cannot read the device-mapper maps")]
    Maps(#[from] ReadMapsError),
    /// The mounts cannot be read.
    #[error("cannot tell what is mounted")]
    Mounts(#[from] ReadMountsError),
}

impl Sight {
    /// What is seen of the machine below `root` beside these devices.
    pub(super) fn beside(
        root: &Path,
        tree: Snapshot,
        questions: &Questions,
    ) -> Result<Sight, LookError> {
        let maps = read_maps(root)?;
        let mut mounts = read_mounts(root)?;
        let ask = |places| questions.find_shut_down(places);
        note_shutdowns(root, (&tree, &maps), &mut mounts, ask);
        Ok(Sight { tree, maps, mounts })
    }

    /// The NVMe devices.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The map with this ID.
    #[must_use]
    pub fn find_map(&self, map: MapId) -> Option<&Map> {
        find_map(&self.maps, map)
    }
}

/// The map with this ID.
pub(super) fn find_map(maps: &[Map], id: MapId) -> Option<&Map> {
    maps.iter().find(|map| map.id == id)
}
