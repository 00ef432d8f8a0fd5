//! Partition tables: GPT with its backup, and MBR.
//!
//! Formats: UEFI specification, chapter 5; the MBR has four entries of 16 bytes from byte 446 on
//! and ends with 55 AA.

use super::Found;
use super::area::{Areas, Outside, le32};

const GPT: &[u8] = b"EFI PART";
const BLOCK_SIZES: [u64; 2] = [512, 4096];
const ENTRIES: std::ops::Range<usize> = 446..510;

/// A partition table.
pub(super) fn find(areas: &Areas, outside: Outside) -> Option<Found> {
    let backups = BLOCK_SIZES.map(|size| areas.size().checked_sub(size));
    let mut places = BLOCK_SIZES.into_iter().chain(backups.into_iter().flatten());
    let gpt = places.find(|offset| outside.contains(*offset) && areas.has(*offset, GPT));
    if let Some(offset) = gpt {
        let name = "a GPT partition table";
        return Some(Found::Other { name, offset });
    }
    has_entries(areas).then_some(Found::Other {
        name: "an MBR partition table",
        offset: 0,
    })
}

/// 55 AA without a partition: a boot sector of something.
pub(super) fn find_bare_boot_sector(areas: &Areas) -> Option<Found> {
    is_boot_sector(areas).then_some(Found::Other {
        name: "a boot sector",
        offset: 0,
    })
}

fn is_boot_sector(areas: &Areas) -> bool {
    areas.has(510, b"\x55\xaa")
}

/// At least one partition, and no entry that cannot be one: boot code looks like anything.
fn has_entries(areas: &Areas) -> bool {
    let Some(entries) = areas.head().get(ENTRIES) else {
        return false;
    };
    let possible = |entry: &[u8]| matches!(entry[0], 0 | 0x80);
    let used = |entry: &[u8]| entry[4] != 0 && le32(entry, 12) != 0;
    is_boot_sector(areas)
        && entries.chunks_exact(16).all(possible)
        && entries.chunks_exact(16).any(used)
}
