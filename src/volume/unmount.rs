//! Taking the mounts of a volume away from one place.
//!
//! Invariants: only what shows the volume, or an NVMe disk that is gone, is unmounted; it is a
//! success only when the mount table shows nothing there any more; the mount itself is never looked
//! at, it may be dead.

use std::path::{Path, PathBuf};

use nvme_sysfs::Namespace;
use thiserror::Error;

use super::identity::VolumeIdentity;
use super::mounts::{ForeignMountError, find_shown, shows_map, shows_nvme};
use super::sight::{LookError, Sight};
use super::volumes::Volumes;
use crate::host::mountinfo::Mount;
use crate::host::{MapId, UnmountError};

/// Why something is still mounted.
#[derive(Debug, Error)]
pub enum UnmountVolumeError {
    /// This node cannot be judged.
    #[error(transparent)]
    Look(#[from] LookError),
    /// What is mounted there is not the volume.
    #[error(transparent)]
    Foreign(#[from] ForeignMountError),
    /// The kernel did not unmount it.
    #[error("cannot unmount {}", path.display())]
    Unmount {
        /// The place.
        path: PathBuf,
        /// Why.
        source: UnmountError,
    },
    /// The kernel unmounted it, and the mount table still shows it.
    #[error("{} was unmounted and the mount table still shows it", path.display())]
    StillMounted {
        /// The place.
        path: PathBuf,
    },
}

/// Whose mounts they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Own<'a> {
    /// The map that it has, where there is one.
    pub(super) map: MapId,
    /// Its namespace, where it is known.
    pub(super) identity: Option<&'a VolumeIdentity>,
}

impl Volumes {
    /// Unmounts every mount of the volume that is stacked at `path`; none is a success.
    pub(super) fn unmount_volume(
        &self,
        path: &Path,
        own: Own<'_>,
    ) -> Result<(), UnmountVolumeError> {
        let mut mounted = self.count_mounts(path, own)?;
        while mounted > 0 {
            match self.ground.host().unmount(path) {
                // Somebody else was faster.
                Ok(()) | Err(UnmountError::NotMounted { .. }) => {}
                Err(source) => {
                    let path = path.to_owned();
                    return Err(UnmountVolumeError::Unmount { path, source });
                }
            }
            let left = self.count_mounts(path, own)?;
            if left >= mounted {
                let path = path.to_owned();
                return Err(UnmountVolumeError::StillMounted { path });
            }
            mounted = left;
        }
        Ok(())
    }

    /// How many mounts are stacked at `path`, the topmost of which may be unmounted.
    fn count_mounts(&self, path: &Path, own: Own<'_>) -> Result<usize, UnmountVolumeError> {
        let sight = self.look()?;
        let Some(topmost) = sight.mounts.find_mount_at(path) else {
            return Ok(0);
        };
        if !is_ours(topmost, &sight, own) {
            return Err(ForeignMountError::at(path, topmost).into());
        }
        Ok(sight.mounts.mounts_at(path).count())
    }
}

/// A disk that is alive must be the volume's as far as the volume is known; one that is gone can be
/// nobody else's: kubelet gave the place to this volume alone.
fn is_ours(mount: &Mount, sight: &Sight, own: Own<'_>) -> bool {
    let is_volume = |disk: &Namespace| own.identity.is_none_or(|identity| identity.names(disk));
    let map = sight.find_map(own.map);
    shows_map(mount, map)
        || shows_nvme(mount) && find_shown(mount, sight.tree()).is_none_or(is_volume)
}
