//! Why the mounts are not known.

use std::path::PathBuf;

use thiserror::Error;

use crate::host::attribute::AttributeError;
use crate::host::mountinfo::ParseMountinfoError;

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
