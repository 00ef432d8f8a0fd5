//! Why the mounts are not known.

use std::path::{Path, PathBuf};

use nvme_sysfs::DevT;
use thiserror::Error;

use crate::host::attribute::AttributeError;
use crate::host::mountinfo::{Mount, ParseMountinfoError};

/// Why the mounts are not known.
#[derive(Debug, Error)]
pub enum ReadMountsError {
    /// The table, or the errors of a filesystem, cannot be read.
    #[error(transparent)]
    Read(#[from] AttributeError),
    /// The table cannot be understood.
    #[error("cannot understand {}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where it breaks off.
        source: ParseMountinfoError,
    },
}

/// Something else is mounted in the place of a volume, or a mount of it that is dead.
#[derive(Debug, Error)]
#[error("{} is a mount of {} ({dev}), which is not this volume, or is dead", path.display(), shown.display())]
pub struct ForeignMountError {
    path: PathBuf,
    dev: DevT,
    shown: PathBuf,
}

impl ForeignMountError {
    /// This mount is at this place.
    pub(in crate::volume) fn at(path: &Path, mount: &Mount) -> ForeignMountError {
        ForeignMountError {
            path: path.to_owned(),
            dev: mount.dev,
            shown: mount.source.clone(),
        }
    }
}
