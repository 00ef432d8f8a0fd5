//! The system calls of a mount as they would be written down, for errors and logs.

use std::fmt;
use std::path::PathBuf;

use rustix::mount::MountFlags;

use crate::host::filesystem_type::FilesystemType;

/// One `mount(2)` with all its arguments; printed as strace prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountCall {
    /// The device.
    pub device: PathBuf,
    /// The target.
    pub target: PathBuf,
    /// Filesystem type.
    pub fs: FilesystemType,
    /// The flags argument in words.
    pub flags: String,
    /// The data argument.
    pub data: String,
}

impl fmt::Display for MountCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "mount({:?}, {:?}, {:?}, {}, {:?})",
            self.device,
            self.target,
            self.fs.as_str(),
            self.flags,
            self.data
        )
    }
}

/// One bind mount with all its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindCall {
    /// What is made visible.
    pub source: PathBuf,
    /// Where.
    pub target: PathBuf,
    /// The attributes that are set on the way.
    pub attributes: String,
}

impl fmt::Display for BindCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "bind({:?}, {:?}, {})",
            self.source, self.target, self.attributes
        )
    }
}

/// `MS_RDONLY|MS_NOATIME`, or `0`.
pub(super) fn words(flags: MountFlags) -> String {
    let names: Vec<String> = flags
        .iter_names()
        .map(|(name, _)| format!("MS_{name}"))
        .collect();
    if names.is_empty() {
        return "0".to_owned();
    }
    names.join("|")
}
