//! Why a volume was not staged.

use std::path::PathBuf;

use nvme_sysfs::{DevT, Uuid};
use thiserror::Error;

use crate::host::{CheckError, FormatError, HeadError, MapId, MountError};
use crate::volume::filesystem::{InspectError, PrepareError};
use crate::volume::hold::{ChooseHoldError, SwapError};
use crate::volume::identity::IdentityMismatch;
use crate::volume::mounts::ForeignMountError;
use crate::volume::paths::AttachError;
use crate::volume::record::RecordError;
use crate::volume::sight::LookError;
use crate::volume::volume_id::VolumeId;

/// Why a volume was not staged.
#[derive(Debug, Error)]
pub enum StageError {
    /// Another call for this volume runs.
    #[error("another operation on this volume is still running")]
    Busy,
    /// It is staged in another way.
    #[error("volume {volume_id} is staged already with {what}")]
    Incompatible {
        /// Which volume.
        volume_id: VolumeId,
        /// What is different.
        what: &'static str,
    },
    /// Its record cannot be read or written.
    #[error("cannot keep the record of the volume")]
    Record(#[from] RecordError),
    /// It cannot be held while no path exists as its user wants.
    #[error("the volume cannot be held while no path exists")]
    Hold(#[from] ChooseHoldError),
    /// Its head does not outlive its paths.
    #[error("the disk of the volume would not outlive its last path")]
    Head(#[source] HeadError),
    /// The map over its disk was not made.
    #[error("the map that holds the volume's I/O was not made")]
    Map(#[from] SwapError),
    /// The disk was gone before the map was over it.
    #[error("the disk of the volume was lost again before its map was made")]
    LostAgain,
    /// Its namespace could not be had.
    #[error("cannot attach the volume")]
    Attach(#[from] AttachError),
    /// Another namespace stands where the volume was.
    #[error("the namespace is not the one that was staged here")]
    Identity(#[from] IdentityMismatch),
    /// Another volume is on the same namespace.
    #[error("{disk} is volume {other} already: one namespace cannot be two filesystems")]
    Shared {
        /// The other volume.
        other: VolumeId,
        /// Kernel name of the disk.
        disk: String,
    },
    /// A map of which no record is left lies over the namespace, and may be mounted.
    #[error(
        "{map} lies over {disk} for another volume, of which no record can be read here: unstage that \
         volume, or, where it has left and nothing uses the map, remove it"
    )]
    Covered {
        /// Kernel name of the map's disk.
        map: String,
        /// Kernel name of the disk.
        disk: String,
    },
    /// The map of the volume may hold I/O that is meant for another namespace.
    #[error(
        "the map {map} lies over {disk}, which is not this volume, or of which no record is left: let it go with \
         `nvmeof-csi release`, unmount what is on it and remove it"
    )]
    ForeignMap {
        /// Which map.
        map: MapId,
        /// Number of the disk below it.
        disk: DevT,
    },
    /// This node cannot be judged.
    #[error(transparent)]
    Look(#[from] LookError),
    /// Something else, or a dead mount of the volume, is mounted at the staging path.
    #[error(transparent)]
    Occupied(#[from] ForeignMountError),
    /// It cannot be told what is on the device.
    #[error("cannot look at the device of the volume")]
    Inspect(#[from] InspectError),
    /// What is on the device must not be touched, or cannot be used.
    #[error("the device of the volume cannot be used")]
    Prepare(#[from] PrepareError),
    /// No filesystem could be made.
    #[error("cannot make a filesystem")]
    Format(#[from] FormatError),
    /// The filesystem did not pass its check.
    #[error("cannot check the filesystem")]
    Check(#[from] CheckError),
    /// It is a clone of an xfs that is mounted on this node.
    #[error(
        "an xfs with the UUID {uuid} is mounted already{}: for a clone ask for the mount option nouuid, or give it a UUID of \
         its own (`xfs_admin -U generate`)",
        mounted.as_ref().map(|path| format!(" at {}", path.display())).unwrap_or_default()
    )]
    SameUuid {
        /// The UUID that both have.
        uuid: Uuid,
        /// Where the other one is mounted, if that can be seen from here.
        mounted: Option<PathBuf>,
    },
    /// It could not be mounted.
    #[error("cannot mount the filesystem")]
    Mount(#[from] MountError),
    /// The kernel mounted it, and the mount table does not show it.
    #[error("{} was mounted and the mount table does not show it", path.display())]
    NotMounted {
        /// The staging path.
        path: PathBuf,
    },
}
