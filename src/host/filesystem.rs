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
pub(crate) use xfs_geometry::read_uuid as read_xfs_uuid;

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
    /// Whether it shall refuse a second mount; ext4 alone can.
    pub multi_mount: MultiMount,
}

/// Whether a filesystem itself refuses to be mounted by two machines: ext4 with the feature `mmp`.
///
/// Whoever has it mounted for writing changes a block of it every few seconds, and whoever wants to
/// mount it waits to see that this block does not change (fs/ext4/mmp.c).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MultiMount {
    /// It does not.
    #[default]
    Unprotected,
    /// It does.
    Protected,
}

/// What came of growing a filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grown {
    /// It filled its device already, but for a rest that is too small for it.
    Already,
    /// It is larger than before.
    Grown,
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
