//! Why the mounts are not known.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::host::mountinfo::ParseMountinfoError;

/// Why the mounts are not known.
#[derive(Debug, Error)]
pub enum ReadMountsError {
    /// The table cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The table cannot be understood.
    #[error("cannot understand {}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where it breaks off.
        source: ParseMountinfoError,
    },
}
