//! The filesystems that this program makes, checks, mounts and grows.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A filesystem type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilesystemType {
    /// The default.
    #[default]
    Ext4,
    /// For large files and parallel writers.
    Xfs,
}

impl FilesystemType {
    /// The kernel's word, as in `/proc/filesystems`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            FilesystemType::Ext4 => "ext4",
            FilesystemType::Xfs => "xfs",
        }
    }
}

impl fmt::Display for FilesystemType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
