//! Making, checking and growing filesystems.
//!
//! The only programs that are run are `mke2fs`, `mkfs.xfs` and `e2fsck`; growing is an ioctl.
//! Invariant: nothing is formatted that was not proved blank right before, on the very disk that is
//! meant, unless a record of our own unfinished format permits it.

mod check;
mod error;
mod ext4_resize;
mod format;
mod grow;
mod xfs_geometry;

use crate::host::device_node::DeviceNode;
use crate::host::filesystem_type::FilesystemType;
pub(crate) use check::check;
pub use error::{CheckError, FormatError, GrowError};
pub(crate) use format::format;
pub(crate) use grow::grow;

/// A filesystem to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatRequest {
    /// On which device.
    pub device: DeviceNode,
    /// The size that the device must have, in bytes.
    pub size_bytes: u64,
    /// Which filesystem.
    pub fs: FilesystemType,
    /// Over what.
    pub over: FormatOver,
}

/// What may be on a device that is formatted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormatOver {
    /// Nothing: its signature areas are all zero.
    Blank,
    /// Whatever an interrupted format of ours left: the caller has a record that says so for this
    /// very identity and size. A complete filesystem and what no format of ours leaves are refused
    /// even so.
    Unfinished,
}
