//! Whether I/O of a disk or a map gets to its target now. Nothing of the volume is touched to find that.

use nvme_sysfs::{Namespace, Tree};

use crate::host::dm::Map;

/// Whether what is left of a volume can be ended without waiting for its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// Its disk is reached.
    Reached,
    /// What it has not written yet waits for a path.
    Waiting,
    /// Nothing of it waits: it is not mounted, or its disk is gone.
    Dead,
}

impl Flow {
    /// Of what goes to a disk without a map.
    pub(super) fn of_disk(disk: Option<&Namespace>, tree: &Tree) -> Flow {
        match disk.map(|disk| is_reached(disk, tree)) {
            Some(true) => Flow::Reached,
            Some(false) => Flow::Waiting,
            None => Flow::Dead,
        }
    }

    /// Of what goes to a map, whosever its live disk is: it was compared when it was loaded.
    pub(super) fn of_map(map: &Map, tree: &Tree) -> Flow {
        let mut disks = map
            .usable_paths()
            .filter_map(|path| tree.find_namespace_by_dev(path.dev));
        let reached = disks.any(|disk| is_reached(disk, tree));
        match (reached && !map.suspended, map.was_let_go()) {
            (true, _) => Flow::Reached,
            (false, true) => Flow::Dead,
            (false, false) => Flow::Waiting,
        }
    }
}

fn is_reached(disk: &Namespace, tree: &Tree) -> bool {
    tree.subsystems.iter().any(|s| s.is_reachable(disk))
}
