//! Which boot this is: `/proc/sys/kernel/random/boot_id`, a UUID that the kernel makes at each boot
//! (Documentation/admin-guide/sysctl/kernel.rst).

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use nvme_sysfs::{ParseIdentityError, Uuid};
use thiserror::Error;

use crate::host::attribute::{AttributeError, read};

/// Why it cannot be told which boot this is.
#[derive(Debug, Error)]
pub enum BootIdError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] AttributeError),
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
    let missing = || AttributeError::new("read", &path, ErrorKind::NotFound.into());
    let text = read(&path)?.ok_or_else(missing)?;
    text.parse()
        .map_err(|source| BootIdError::Malformed { path, source })
}
