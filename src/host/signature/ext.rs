//! The superblock of ext2, ext3 and ext4.
//!
//! Format: `struct ext4_super_block` (fs/ext4/ext4.h), 1024 bytes at byte 1024, little-endian.

use std::fmt;

use nvme_sysfs::Uuid;

use super::area::{field, le16, le32};
use super::{Found, Journal};
use crate::host::filesystem::MultiMount;

/// What an ext superblock says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ext {
    /// Which of the three its features make it.
    pub version: ExtVersion,
    /// Its UUID, if it has one.
    pub uuid: Option<Uuid>,
    /// Size in bytes.
    pub size_bytes: u64,
    /// How it is laid out.
    pub layout: Layout,
    /// Whether its journal has to be replayed.
    pub journal: Journal,
    /// Whether it asks for e2fsck.
    pub check: Check,
    /// Whether it refuses a second mount, by the feature `mmp`.
    pub multi_mount: MultiMount,
}

/// How an ext filesystem is divided into block groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Size of a block in bytes.
    pub block_bytes: u64,
    first_block: u64,
    blocks_per_group: u64,
    /// More than the metadata of one group can take.
    metadata_blocks: u64,
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

/// Whether a filesystem asks for a check before it is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// No.
    Unneeded,
    /// It was not unmounted, and nothing else is known against it: whoever mounts it replays the
    /// journal.
    Replay,
    /// The kernel found errors in it, or it has no journal and was not unmounted.
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
const INCOMPAT_MMP: u32 = 0x100;
/// filetype, recover and meta_bg: what ext3 knows (`EXT3_FEATURE_INCOMPAT_SUPP`).
const INCOMPAT_EXT3: u32 = 0x2 | INCOMPAT_RECOVER | 0x10;
/// sparse_super, large_file and btree_dir (`EXT3_FEATURE_RO_COMPAT_SUPP`).
const RO_COMPAT_EXT3: u32 = 0x1 | 0x2 | 0x4;

/// Reads the superblock from the first bytes of a device.
pub(super) fn parse(head: &[u8]) -> Option<Found> {
    let superblock = find_superblock(head)?;
    if le32(superblock, 0x60) & INCOMPAT_JOURNAL_DEV != 0 {
        return Some(Found::Other {
            name: "an external journal of ext4",
            offset: 1024,
        });
    }
    Some(Found::Ext(read(superblock)))
}

fn find_superblock(head: &[u8]) -> Option<&[u8]> {
    let superblock = head.get(SUPERBLOCK..2 * SUPERBLOCK)?;
    let is_ext = le16(superblock, 0x38) == MAGIC;
    // 64 KiB is the largest block of any architecture (EXT4_MAX_BLOCK_LOG_SIZE); the kernel
    // divides by the other.
    (is_ext && le32(superblock, 0x18) <= 6 && le32(superblock, 0x20) != 0).then_some(superblock)
}

fn read(superblock: &[u8]) -> Ext {
    let incompat = le32(superblock, 0x60);
    let state = le16(superblock, 0x3A);
    let journal = match incompat & INCOMPAT_RECOVER {
        0 => Journal::Clean,
        _ => Journal::NeedsRecovery,
    };
    // An error that was found while it was mounted is counted until a check has seen everything.
    let errors = le32(superblock, 0x194);
    let sound = state & VALID != 0 && state & ERROR == 0 && errors == 0;
    let blocks = block_count(superblock, incompat);
    let layout = layout(superblock, incompat, blocks);
    Ext {
        version: version(superblock, incompat),
        uuid: Uuid::from_bytes(field(superblock, 0x68)),
        size_bytes: blocks.saturating_mul(layout.block_bytes),
        layout,
        journal,
        check: match (sound, journal) {
            (true, Journal::Clean) => Check::Unneeded,
            (true, Journal::NeedsRecovery) => Check::Replay,
            (false, _) => Check::Needed,
        },
        multi_mount: match incompat & INCOMPAT_MMP {
            0 => MultiMount::Unprotected,
            _ => MultiMount::Protected,
        },
    }
}

fn layout(superblock: &[u8], incompat: u32, blocks: u64) -> Layout {
    let block_bytes = 1024_u64 << le32(superblock, 0x18);
    let blocks_per_group = u64::from(le32(superblock, 0x20));
    let inodes = u64::from(le32(superblock, 0x28)) * u64::from(le16(superblock, 0x58));
    let descriptor_bytes = match incompat & INCOMPAT_64BIT {
        0 => 32,
        _ => u64::from(le16(superblock, 0xFE)).max(64),
    };
    let descriptors = (blocks / blocks_per_group + 1).saturating_mul(descriptor_bytes);
    let reserved_descriptors = u64::from(le16(superblock, 0xCE));
    // Two bitmaps, a copy of the superblock, and one block each for what was rounded down.
    let metadata = inodes / block_bytes + descriptors / block_bytes + reserved_descriptors + 5;
    Layout {
        block_bytes,
        first_block: u64::from(le32(superblock, 0x14)),
        blocks_per_group,
        metadata_blocks: metadata,
    }
}

impl Ext {
    /// The largest size that it may be grown to on a device, in bytes.
    ///
    /// A new group at the end must have room for its metadata and 50 blocks more, as mke2fs and
    /// resize2fs demand; the kernel does not look.
    pub(crate) fn largest_size(&self, device_bytes: u64) -> u64 {
        const LEAST_DATA: u64 = 50;
        let layout = &self.layout;
        let group_of =
            |block: u64| block.saturating_sub(layout.first_block) / layout.blocks_per_group;
        let blocks = device_bytes / layout.block_bytes;
        let now = self.size_bytes / layout.block_bytes;
        let in_last = blocks.saturating_sub(layout.first_block) % layout.blocks_per_group;
        let extends_a_group = group_of(blocks.saturating_sub(1)) == group_of(now.saturating_sub(1));
        let blocks = if extends_a_group || in_last >= layout.metadata_blocks + LEAST_DATA {
            blocks
        } else {
            blocks - in_last
        };
        blocks * layout.block_bytes
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// 1000 groups of 32768 blocks of 4 KiB, of which a group's metadata takes about 516.
    fn superblock() -> Vec<u8> {
        let mut head = vec![0; 2048];
        let mut put = |offset: usize, bytes: &[u8]| {
            let start = SUPERBLOCK + offset;
            head[start..start + bytes.len()].copy_from_slice(bytes);
        };
        put(0x4, &(1000_u32 * 32768).to_le_bytes());
        put(0x18, &2_u32.to_le_bytes());
        put(0x20, &32768_u32.to_le_bytes());
        put(0x28, &8192_u32.to_le_bytes());
        put(0x38, &MAGIC.to_le_bytes());
        put(0x3A, &VALID.to_le_bytes());
        put(0x58, &256_u16.to_le_bytes());
        put(0x5C, &COMPAT_HAS_JOURNAL.to_le_bytes());
        put(0x60, &0x2C2_u32.to_le_bytes());
        put(0x64, &0x46B_u32.to_le_bytes());
        put(0xFE, &64_u16.to_le_bytes());
        head
    }

    fn parsed(head: &[u8]) -> Ext {
        match parse(head) {
            Some(Found::Ext(ext)) => ext,
            other => panic!("{other:?}"),
        }
    }

    fn with(offset: usize, bytes: &[u8]) -> Vec<u8> {
        let mut head = superblock();
        let start = SUPERBLOCK + offset;
        head[start..start + bytes.len()].copy_from_slice(bytes);
        head
    }

    #[test]
    fn features_tell_the_version() {
        assert_eq!(parsed(&superblock()).version, ExtVersion::Ext4);
        let mut head = with(0x60, &0x2_u32.to_le_bytes());
        head[SUPERBLOCK + 0x64..][..4].copy_from_slice(&0x3_u32.to_le_bytes());
        assert_eq!(parsed(&head).version, ExtVersion::Ext3);
        head[SUPERBLOCK + 0x5C] = 0;
        assert_eq!(parsed(&head).version, ExtVersion::Ext2);
    }

    #[test]
    fn the_high_half_of_the_block_count_needs_the_feature() {
        let head = with(0x150, &1_u32.to_le_bytes());
        assert_eq!(parsed(&head).size_bytes, ((1 << 32) + 32_768_000) * 4096);
        let mut head = head;
        head[SUPERBLOCK + 0x60] &= !0x80;
        assert_eq!(parsed(&head).size_bytes, 32_768_000 * 4096);
    }

    #[test]
    fn a_filesystem_that_is_not_sound_asks_for_a_check() {
        assert_eq!(parsed(&superblock()).check, Check::Unneeded);
        for state in [0, ERROR, VALID | ERROR] {
            let ext = parsed(&with(0x3A, &state.to_le_bytes()));
            assert_eq!((ext.check, ext.journal), (Check::Needed, Journal::Clean));
        }
        let counted = parsed(&with(0x194, &1_u32.to_le_bytes()));
        assert_eq!(counted.check, Check::Needed);
        let recover = 0x2C2 | INCOMPAT_RECOVER;
        let ext = parsed(&with(0x60, &recover.to_le_bytes()));
        assert_eq!(
            (ext.check, ext.journal),
            (Check::Replay, Journal::NeedsRecovery)
        );
        let mut head = with(0x60, &recover.to_le_bytes());
        head[SUPERBLOCK + 0x194] = 1;
        assert_eq!(parsed(&head).check, Check::Needed);
    }

    #[test]
    fn multi_mount_protection_is_a_feature() {
        assert_eq!(parsed(&superblock()).multi_mount, MultiMount::Unprotected);
        let protected = 0x2C2 | INCOMPAT_MMP;
        let ext = parsed(&with(0x60, &protected.to_le_bytes()));
        assert_eq!(ext.multi_mount, MultiMount::Protected);
    }

    #[test]
    fn an_external_journal_is_no_filesystem() {
        let head = with(0x60, &INCOMPAT_JOURNAL_DEV.to_le_bytes());
        let found = parse(&head).expect("known");
        assert_eq!(
            found.to_string(),
            "an external journal of ext4 (at byte 1024)"
        );
    }

    #[test]
    fn a_superblock_that_cannot_be_is_none() {
        assert_eq!(parse(&with(0x18, &7_u32.to_le_bytes())), None);
        assert_eq!(parse(&with(0x20, &0_u32.to_le_bytes())), None);
        assert_eq!(parse(&superblock()[..2047]), None);
    }

    #[test]
    fn a_last_group_without_room_for_its_metadata_is_left_out() {
        let group = 32768;
        let ext = parsed(&superblock());
        let largest = |blocks: u64| ext.largest_size(blocks * 4096) / 4096;
        let now = 1000 * group;
        assert_eq!(largest(now), now);
        assert_eq!(largest(now + group), now + group);
        assert_eq!(largest(now + 500), now, "too small for a new group");
        assert_eq!(largest(now + 1000), now + 1000);
        assert_eq!(largest(now + group + 500), now + group);
    }

    #[test]
    fn a_last_group_that_is_there_is_extended_by_any_block() {
        let ext = parsed(&with(0x4, &(999_u32 * 32768 + 700).to_le_bytes()));
        let blocks = 999 * 32768 + 701;
        assert_eq!(ext.largest_size(blocks * 4096), blocks * 4096);
    }
}
