//! The superblock of ext2, ext3 and ext4.
//!
//! Format: `struct ext4_super_block` (fs/ext4/ext4.h), 1024 bytes at byte 1024, little-endian.

use std::fmt;

use nvme_sysfs::Uuid;

use super::Found;
use super::area::{field, le16, le32};

/// What an ext superblock says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ext {
    /// Which of the three its features make it.
    pub version: ExtVersion,
    /// Its UUID, if it has one.
    pub uuid: Option<Uuid>,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Size of one block group in bytes: the unit in which it grows.
    pub group_bytes: u64,
    /// Whether its journal has to be replayed.
    pub journal: Journal,
    /// Whether it asks for e2fsck.
    pub check: Check,
}

/// Which ext filesystem it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtVersion {
    /// No journal.
    Ext2,
    /// A journal, and nothing that ext3 does not know.
    Ext3,
    /// Anything newer.
    Ext4,
}

/// The state of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Journal {
    /// There is nothing in it that is not in its place, or there is no journal.
    Clean,
    /// It has to be replayed: the filesystem is mounted elsewhere, or was not unmounted.
    NeedsRecovery,
}

/// Whether a filesystem asks for a check before it is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// No.
    Unneeded,
    /// The kernel found errors in it, or it was never unmounted cleanly.
    Needed,
}

const SUPERBLOCK: usize = 1024;
const MAGIC: u16 = 0xEF53;
/// `EXT4_VALID_FS` and `EXT4_ERROR_FS` of `s_state`.
const VALID: u16 = 1;
const ERROR: u16 = 2;
const COMPAT_HAS_JOURNAL: u32 = 0x4;
const INCOMPAT_RECOVER: u32 = 0x4;
const INCOMPAT_JOURNAL_DEV: u32 = 0x8;
const INCOMPAT_64BIT: u32 = 0x80;
/// filetype, recover and meta_bg: what ext3 knows (`EXT3_FEATURE_INCOMPAT_SUPP`).
const INCOMPAT_EXT3: u32 = 0x2 | INCOMPAT_RECOVER | 0x10;
/// sparse_super, large_file and btree_dir (`EXT3_FEATURE_RO_COMPAT_SUPP`).
const RO_COMPAT_EXT3: u32 = 0x1 | 0x2 | 0x4;

/// Reads the superblock from the first bytes of a device.
pub(super) fn parse(head: &[u8]) -> Option<Found> {
    let superblock = head.get(SUPERBLOCK..2 * SUPERBLOCK)?;
    let log_block_size = le32(superblock, 0x18);
    // 64 KiB is the largest block of any architecture (EXT4_MAX_BLOCK_LOG_SIZE).
    if le16(superblock, 0x38) != MAGIC || log_block_size > 6 {
        return None;
    }
    let incompat = le32(superblock, 0x60);
    if incompat & INCOMPAT_JOURNAL_DEV != 0 {
        return Some(Found::Other {
            name: "an external journal of ext4",
            offset: 1024,
        });
    }
    let block_bytes = 1024_u64 << log_block_size;
    let state = le16(superblock, 0x3A);
    let journal = match incompat & INCOMPAT_RECOVER {
        0 => Journal::Clean,
        _ => Journal::NeedsRecovery,
    };
    let sound = state & VALID != 0 && state & ERROR == 0 && journal == Journal::Clean;
    Some(Found::Ext(Ext {
        version: version(superblock, incompat),
        uuid: Uuid::from_bytes(field(superblock, 0x68)),
        size_bytes: block_count(superblock, incompat).saturating_mul(block_bytes),
        group_bytes: u64::from(le32(superblock, 0x20)).saturating_mul(block_bytes),
        journal,
        check: if sound {
            Check::Unneeded
        } else {
            Check::Needed
        },
    }))
}

fn block_count(superblock: &[u8], incompat: u32) -> u64 {
    let low = u64::from(le32(superblock, 0x4));
    match incompat & INCOMPAT_64BIT {
        0 => low,
        _ => u64::from(le32(superblock, 0x150)) << 32 | low,
    }
}

fn version(superblock: &[u8], incompat: u32) -> ExtVersion {
    let newer = incompat & !INCOMPAT_EXT3 | le32(superblock, 0x64) & !RO_COMPAT_EXT3;
    let journal = le32(superblock, 0x5C) & COMPAT_HAS_JOURNAL;
    match (newer, journal) {
        (0, 0) => ExtVersion::Ext2,
        (0, _) => ExtVersion::Ext3,
        _ => ExtVersion::Ext4,
    }
}

impl fmt::Display for ExtVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ExtVersion::Ext2 => "ext2",
            ExtVersion::Ext3 => "ext3",
            ExtVersion::Ext4 => "ext4",
        })
    }
}
