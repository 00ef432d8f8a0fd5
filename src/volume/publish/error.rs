//! Why a volume was not published.

use std::path::PathBuf;

use nvme_sysfs::DevT;
use thiserror::Error;

use crate::host::device_node::OpenNodeError;
use crate::host::{MountError, MountPointError};
use crate::volume::identity::{Disk, IdentityMismatch};
use crate::volume::record::RecordError;
use crate::volume::sight::LookError;
use crate::volume::volume_id::VolumeId;

/// Why a volume was not published.
#[derive(Debug, Error)]
pub enum PublishError {
    /// Another call for this volume runs.
    #[error("another operation on this volume is still running")]
    Busy,
    /// It must be staged first.
    #[error("volume {volume_id} is not staged on this node")]
    NotStaged {
        /// Which volume.
        volume_id: VolumeId,
    },
    /// It is staged or published in another way.
    #[error("the volume cannot be published like this: {what}")]
    Incompatible {
        /// What is different.
        what: &'static str,
    },
    /// Its access mode allows one writer, and there is one.
    #[error("the access mode allows one publication, and there is one at {}", path.display())]
    SingleWriter {
        /// Where.
        path: PathBuf,
    },
    /// Its record cannot be read or written.
    #[error("cannot keep the record of the volume")]
    Record(#[from] RecordError),
    /// This node cannot be judged.
    #[error(transparent)]
    Look(#[from] LookError),
    /// There is no disk of the volume now, or no path to it.
    #[error("the volume has no disk that can be reached now")]
    NoDisk,
    /// The volume has come back as another disk.
    #[error("the volume was staged as {staged} and is {found} now: it must be staged again")]
    OtherDisk {
        /// As which it was staged.
        staged: Disk,
        /// Kernel name of the disk that carries it now.
        found: String,
    },
    /// Another namespace stands where the volume was.
    #[error("the namespace is not the one that was staged here")]
    Identity(#[from] IdentityMismatch),
    /// The staging path does not lead to the volume.
    #[error(
        "{} is not a live mount of {staged} ({}): the volume must be staged again",
        path.display(),
        found.map_or("nothing is mounted".to_owned(), |dev| format!("it is one of {dev}"))
    )]
    StaleStaging {
        /// The staging path.
        path: PathBuf,
        /// Device number of what is mounted there, if anything is.
        found: Option<DevT>,
        /// As which disk the volume was staged.
        staged: Disk,
    },
    /// Something else is mounted at the target.
    #[error(
        "{} is a mount of {} ({dev}), which is not this volume",
        path.display(),
        source_path.display()
    )]
    Occupied {
        /// The target path.
        path: PathBuf,
        /// Device number of what is mounted.
        dev: DevT,
        /// What is mounted.
        source_path: PathBuf,
    },
    /// The device node is not the volume's.
    #[error("the device of the volume is not usable")]
    Device(#[from] OpenNodeError),
    /// The place could not be made.
    #[error("cannot make the target")]
    MountPoint(#[from] MountPointError),
    /// The bind mount was not made.
    #[error("cannot publish the volume")]
    Mount(#[from] MountError),
    /// The kernel bound it, and the mount table does not show it.
    #[error("{} was bound and the mount table does not show it", path.display())]
    NotMounted {
        /// The target path.
        path: PathBuf,
    },
}
