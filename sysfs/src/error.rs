//! Why a scan failed, and what it could not tell.
//!
//! Invariant: every variant names the path below the root; "gone" is never an error.

use std::error::Error;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use crate::entry::Entry;

/// Why sysfs could not be read. An entry that vanished during the scan (`ENOENT`, `ENODEV`) is not among the reasons.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// There is no sysfs: nothing can be said about what exists.
    #[error("{} does not exist: sysfs is not mounted there", path.display())]
    NoSysfs {
        /// Where sysfs was expected.
        path: PathBuf,
    },
    /// An attribute that every entry of its kind has is missing in one that still exists.
    #[error("{} is missing", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file or directory cannot be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// The file or directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A directory cannot be listed.
    #[error("cannot list {}", path.display())]
    List {
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// An attribute is longer than any that sysfs can hold.
    #[error("{} is longer than {limit} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Most bytes that are read.
        limit: usize,
    },
    /// An attribute is not text.
    #[error("{} is not UTF-8", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
    },
    /// What was asked for depends on something that is [`Unknown`].
    #[error(transparent)]
    Unknown(#[from] Unknown),
    /// An attribute has a value that it cannot have.
    #[error("{} is {value:?}, expected {rule}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What it says.
        value: String,
        /// What it may say.
        rule: &'static str,
    },
}

/// Something in sysfs that could not be read, or says what it cannot say. It hides nothing else, and what depends on it is
/// not known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[error("{message}")]
pub struct Unknown {
    /// The file or directory.
    pub path: PathBuf,
    /// What is wrong with it, the path and the kernel's answer included.
    pub message: String,
}

impl Unknown {
    /// Whether anything depends on it. On counters nothing does.
    #[must_use]
    pub fn matters(&self) -> bool {
        let parent = self.path.parent().and_then(Path::file_name);
        parent.is_none_or(|parent| parent != "diag")
    }

    /// Whether it is the directory of a subsystem, a controller or a disk, and no attribute: what lies in it may not have
    /// been found.
    #[must_use]
    pub fn hides_entries(&self) -> bool {
        let name = self.path.file_name().and_then(OsStr::to_str);
        name.and_then(Entry::parse).is_some()
    }
}

impl From<ScanError> for Unknown {
    fn from(error: ScanError) -> Unknown {
        let cause = error.source().map(|cause| format!(": {cause}"));
        Unknown {
            path: error.path().to_owned(),
            message: format!("{error}{}", cause.unwrap_or_default()),
        }
    }
}

impl ScanError {
    /// The file or directory that is at fault.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::NoSysfs { path }
            | Self::Missing { path }
            | Self::Open { path, .. }
            | Self::Read { path, .. }
            | Self::List { path, .. }
            | Self::TooLong { path, .. }
            | Self::NotUtf8 { path }
            | Self::Invalid { path, .. }
            | Self::Unknown(Unknown { path, .. }) => path,
        }
    }
}
