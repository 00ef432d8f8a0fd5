//! The superblock of xfs.
//!
//! Format: `struct xfs_dsb` (fs/xfs/libxfs/xfs_format.h), at byte 0, big-endian.

use nvme_sysfs::Uuid;

use super::area::{ReadAt, field};
use super::xfs_log::{Log, read_journal};
use super::{Found, Journal, ProbeError};

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
    /// Whether its log has to be replayed.
    pub journal: Journal,
}

/// `sb_inprogress`.
const IN_PROGRESS: usize = 126;

/// Reads the superblock from the first bytes of a device, and from the device what its log says.
pub(super) fn read(device: &impl ReadAt, head: &[u8]) -> Result<Option<Found>, ProbeError> {
    let block_bytes = u32::from_be_bytes(field(head, 4));
    // 512 bytes to 64 KiB (XFS_MIN_BLOCKSIZE, XFS_MAX_BLOCKSIZE).
    let sound = block_bytes.is_power_of_two() && (512..=65536).contains(&block_bytes);
    if !head.starts_with(b"XFSB") || !sound {
        return Ok(None);
    }
    let block_bytes = u64::from(block_bytes);
    let blocks = u64::from_be_bytes(field(head, 8));
    let is_complete = field(head, IN_PROGRESS) == [0];
    let size_bytes = blocks.saturating_mul(block_bytes);
    let log = find_log(head, block_bytes).filter(|log| log.is_within(size_bytes));
    let journal = match log {
        Some(log) if is_complete => read_journal(device, log)?,
        _ => Journal::NeedsRecovery,
    };
    Ok(Some(Found::Xfs(Xfs {
        uuid: Uuid::from_bytes(field(head, 32)),
        size_bytes,
        is_complete,
        journal,
    })))
}

/// Where the log is; `None` when it is on another device.
fn find_log(head: &[u8], block_bytes: u64) -> Option<Log> {
    // sb_logstart, sb_agblocks, sb_logblocks and sb_agblklog. A block's number has the allocation
    // group in its high bits.
    let start = u64::from_be_bytes(field(head, 48));
    let group_blocks = u64::from(u32::from_be_bytes(field(head, 84)));
    let blocks = u64::from(u32::from_be_bytes(field(head, 96)));
    let [group_bits] = field(head, 124);
    let group = start.checked_shr(group_bits.into())?;
    let within = start ^ group.checked_shl(group_bits.into())?;
    let block = group.checked_mul(group_blocks)?.checked_add(within)?;
    let log = Log {
        offset: block.checked_mul(block_bytes)?,
        blocks: blocks * (block_bytes / 512),
    };
    (start != 0 && blocks != 0).then_some(log)
}
