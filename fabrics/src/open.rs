//! `/dev/nvme-fabrics`, opened for one conversation.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Why `/dev/nvme-fabrics` could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenDeviceError {
    /// It does not exist.
    #[error("{} does not exist: the kernel module nvme_fabrics is not loaded", path.display())]
    Missing {
        /// The device.
        path: PathBuf,
    },
    /// It exists; it belongs to root.
    #[error("cannot open {}", path.display())]
    Open {
        /// The device.
        path: PathBuf,
        /// What the open answered.
        source: io::Error,
    },
}

/// Opens the device below `root` for one conversation.
pub(crate) fn open_device(root: &Path) -> Result<File, OpenDeviceError> {
    let path = root.join("dev/nvme-fabrics");
    let opened = OpenOptions::new().read(true).write(true).open(&path);
    opened.map_err(|source| match source.kind() {
        ErrorKind::NotFound => OpenDeviceError::Missing { path },
        _ => OpenDeviceError::Open { path, source },
    })
}
