//! Which boot this is: `/proc/sys/kernel/random/boot_id`, a UUID that the kernel makes at each boot
//! (Documentation/admin-guide/sysctl/kernel.rst).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nvme_sysfs::{ParseIdentityError, Uuid};
use thiserror::Error;

/// Why it cannot be told which boot this is.
#[derive(Debug, Error)]
pub enum BootIdError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It holds something else.
    #[error("{} holds no boot id", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ParseIdentityError,
    },
}

/// The id of the running boot.
pub(super) fn read_boot_id(root: &Path) -> Result<Uuid, BootIdError> {
    let path = root.join("proc/sys/kernel/random/boot_id");
    match fs::read_to_string(&path) {
        Ok(text) => text
            .trim_end()
            .parse()
            .map_err(|source| BootIdError::Malformed { path, source }),
        Err(source) => Err(BootIdError::Read { path, source }),
    }
}
