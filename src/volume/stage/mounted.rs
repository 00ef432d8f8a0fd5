//! What is done about a filesystem that was there before: it is grown to its device, and what the kernel says of a clone is
//! told in a way that helps.

use std::error::Error;
use std::path::{Path, PathBuf};

use nvme_sysfs::Uuid;

use super::{StageError, Staging};
use crate::host::signature::Found;
use crate::host::{FilesystemType, Grown, MountAccess, MountError};
use crate::volume::filesystem::is_smaller;
use crate::volume::paths::attach::Attached;
use crate::volume::xfs_shutdown::find_flowing;

/// What xfs logs where a filesystem with the same UUID is mounted (`xfs_uuid_mount`, fs/xfs/xfs_mount.c).
const DUPLICATE: &str = "duplicate UUID";

impl Staging<'_> {
    /// Lets a filesystem use all of its device. One that cannot be grown is usable as it is, and that is told.
    pub(super) fn grow(&self, attached: &Attached, fs: FilesystemType, found: &Found) {
        let is_writable = self.request.capability.mount_access() == MountAccess::ReadWrite;
        if !is_writable || !is_smaller(found, attached.namespace.size_bytes) {
            return;
        }
        let (volume_id, path) = (&self.request.volume_id, &self.request.staging_target_path);
        let node = self.volumes.ground.node(&attached.disk);
        match self.volumes.ground.host().grow(path, &node, fs) {
            Ok(Grown::Already) => {}
            Ok(Grown::Grown) => tracing::info!(
                %volume_id,
                bytes = attached.namespace.size_bytes,
                "the filesystem was smaller than its device and is grown"
            ),
            Err(error) => {
                let error: &(dyn Error + 'static) = &error;
                tracing::warn!(
                    %volume_id,
                    error,
                    "the filesystem is smaller than its device and cannot be grown"
                );
            }
        }
    }

    /// A clone of a mounted xfs is told with what it is a clone of.
    pub(super) fn explain(&self, error: MountError, found: &Found) -> StageError {
        let uuid = match (found, &error) {
            (Found::Xfs(xfs), MountError::Invalid { said, .. }) if said.contains(DUPLICATE) => {
                xfs.uuid
            }
            _ => None,
        };
        match uuid {
            Some(uuid) => StageError::SameUuid {
                uuid,
                mounted: self.find_mounted(uuid),
            },
            None => error.into(),
        }
    }

    /// Where the xfs with this UUID is mounted, if it is one whose I/O flows.
    fn find_mounted(&self, uuid: Uuid) -> Option<PathBuf> {
        let sight = self.volumes.look().ok()?;
        let root = &self.volumes.ground.config.root;
        let places = find_flowing(root, (sight.tree(), &sight.maps), &sight.mounts);
        let questions = &self.volumes.questions;
        let found = questions.find_xfs(places.into_keys().collect(), uuid)?;
        let place = found
            .strip_prefix(root)
            .map(|place| Path::new("/").join(place));
        Some(place.unwrap_or(found))
    }
}
