//! Whether a disconnect would take a disk away from somebody.

use std::path::Path;

use nvme_sysfs::{Instance, Tree};

use super::DisconnectFailure;
use crate::host::last_path::find_disks_losing_last_path;
use crate::host::usage::{Gap, Look, read_usage};

/// Whether a disk that is in use may lose its last path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InUse {
    Refuse,
    Force,
}

/// Refuses if a disk in use would go, or one whose owner cannot be asked for; returns what else could
/// not be looked at.
pub(super) fn refuse_in_use(
    root: &Path,
    tree: &Tree,
    leaving: &[Instance],
) -> Result<Vec<String>, DisconnectFailure> {
    let mut uses = Vec::new();
    let mut unchecked = Vec::new();
    let mut unseen = None;
    for disk in find_disks_losing_last_path(tree, leaving) {
        let disk = disk.name.clone();
        let usage = match read_usage(root, &disk, Look::Exclusive) {
            Ok(usage) => usage,
            Err(source) => return Err(DisconnectFailure::Unknown { disk, source }),
        };
        let gaps = usage.gaps.iter().map(ToString::to_string);
        if usage.gaps.iter().any(|gap| matches!(gap, Gap::Node(..))) {
            let gaps = gaps.collect();
            unseen = unseen.or(Some(DisconnectFailure::Unseen { disk, gaps }));
        } else {
            unchecked.extend(gaps);
        }
        uses.extend(usage.uses);
    }
    match unseen {
        _ if !uses.is_empty() => Err(DisconnectFailure::InUse {
            uses,
            gaps: unchecked,
        }),
        Some(unseen) => Err(unseen),
        None => Ok(unchecked),
    }
}
