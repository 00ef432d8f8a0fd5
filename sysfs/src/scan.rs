//! Reading the whole tree.

use std::path::{Path, PathBuf};

use crate::error::ScanError;
use crate::list::ListedHost;
use crate::tree::Tree;

/// The sysfs below one root directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sysfs {
    root: PathBuf,
}

impl Sysfs {
    /// The sysfs mounted at `sys` below `root`; `/` for the running machine.
    #[must_use]
    pub fn at(root: impl AsRef<Path>) -> Self {
        Self {
            root: root.as_ref().join("sys"),
        }
    }

    /// Reads everything.
    ///
    /// # Errors
    /// [`ScanError`].
    pub fn scan(&self) -> Result<Tree, ScanError> {
        Err(ScanError::NoSysfs {
            path: self.root.clone(),
        })
    }

    /// Reads only what `list-subsys -o json` prints.
    ///
    /// # Errors
    /// [`ScanError`].
    pub fn list(&self) -> Result<Vec<ListedHost>, ScanError> {
        Err(ScanError::NoSysfs {
            path: self.root.clone(),
        })
    }
}
