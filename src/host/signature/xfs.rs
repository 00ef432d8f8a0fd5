//! The superblock of xfs.
//!
//! Format: `struct xfs_dsb` (fs/xfs/libxfs/xfs_format.h), at byte 0, big-endian.

use nvme_sysfs::Uuid;

use super::Found;
use super::area::field;

/// What an xfs superblock says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xfs {
    /// Its UUID, if it has one.
    pub uuid: Option<Uuid>,
    /// Size in bytes. The kernel writes it when the filesystem is unmounted, so it may lag behind
    /// while one that has grown is mounted.
    pub size_bytes: u64,
    /// Whether it was made to its end: mkfs.xfs clears `sb_inprogress` last, and the kernel refuses
    /// to mount a filesystem in which it is set.
    pub is_complete: bool,
}

/// `sb_inprogress`.
const IN_PROGRESS: usize = 126;

/// Reads the superblock from the first bytes of a device.
pub(super) fn parse(head: &[u8]) -> Option<Found> {
    let block_bytes = u32::from_be_bytes(field(head, 4));
    // 512 bytes to 64 KiB (XFS_MIN_BLOCKSIZE, XFS_MAX_BLOCKSIZE).
    let sound = block_bytes.is_power_of_two() && (512..=65536).contains(&block_bytes);
    if !head.starts_with(b"XFSB") || !sound {
        return None;
    }
    let blocks = u64::from_be_bytes(field(head, 8));
    Some(Found::Xfs(Xfs {
        uuid: Uuid::from_bytes(field(head, 32)),
        size_bytes: blocks.saturating_mul(block_bytes.into()),
        is_complete: field(head, IN_PROGRESS) == [0],
    }))
}
