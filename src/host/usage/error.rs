//! Why nothing at all can be said about the use of a disk.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::host::attribute::AttributeError;
use crate::host::mountinfo::ParseMountinfoError;
use crate::host::processes::Process;

/// Why nothing at all can be said about the use of a disk.
#[derive(Debug, Error)]
pub enum UsageError {
    /// The disk itself cannot be read.
    #[error("cannot read the disk {name}")]
    Disk {
        /// Kernel name of the disk.
        name: String,
        /// Why.
        source: AttributeError,
    },
    /// There is no such disk: whoever asks saw it a moment ago.
    #[error("there is no disk {name}")]
    NoDisk {
        /// Kernel name of the disk.
        name: String,
    },
    /// The list of processes cannot be read.
    #[error("cannot list the processes below {}", root.display())]
    Processes {
        /// The root given.
        root: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// A mount table makes no sense.
    #[error("cannot understand the mounts of {process}")]
    Mounts {
        /// Whose table it is.
        process: Process,
        /// Where it breaks off.
        source: ParseMountinfoError,
    },
    /// The list of swap areas cannot be read.
    #[error("cannot read {}", path.display())]
    Swaps {
        /// The file.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
}
