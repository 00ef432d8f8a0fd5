//! md and others that keep their superblock at the end of a device: DRBD and firmware RAID.
//!
//! Formats: `mdp_super_t` and `struct mdp_superblock_1` (include/uapi/linux/raid/md_p.h),
//! `struct meta_data_on_disk` of DRBD, the SNIA DDF and the Intel IMSM anchors.

use super::Found;
use super::area::{Areas, Outside, field, le32, le64};

const SECTOR: u64 = 512;
/// `MD_SB_MAGIC`.
const MD_MAGIC: u32 = 0xA92B_4EFC;
/// `MD_RESERVED_BYTES` of version 0.90.
const MD_RESERVED: u64 = 64 << 10;
/// `DRBD_MD_MAGIC_08`, its unclean form, and `DRBD_MD_MAGIC_09`.
const DRBD_MAGICS: [u32; 3] = [0x8374_026B, 0x8374_026C, 0x8374_026D];

/// Names, distances from the end, and bytes of firmware RAID anchors.
const ANCHORS: [(&str, u64, &[u8]); 4] = [
    (
        "an Intel RAID member",
        2 * SECTOR,
        b"Intel Raid ISM Cfg Sig.",
    ),
    ("an Intel RAID member", 8 << 10, b"Intel Raid ISM Cfg Sig."),
    ("a DDF RAID member", SECTOR, b"\xde\x11\xde\x11"),
    ("a DDF RAID member", 4 << 10, b"\xde\x11\xde\x11"),
];

/// A member of an array.
pub(super) fn find(areas: &Areas, outside: Outside) -> Option<Found> {
    let mut places = md_places(areas.size()).into_iter().flatten();
    let md = places.find(|offset| outside.contains(*offset) && is_md(areas, *offset));
    if let Some(offset) = md {
        let name = "an md RAID member";
        return Some(Found::Other { name, offset });
    }
    find_drbd(areas)
        .or_else(|| find_anchor(areas))
        .filter(|(_, offset)| outside.contains(*offset))
        .map(|(name, offset)| Found::Other { name, offset })
}

/// Where md keeps its superblock on a device of a size: versions 1.1, 1.2, 1.0 and 0.90.
fn md_places(size: u64) -> [Option<u64>; 4] {
    let sectors = size / SECTOR;
    // 8 KiB before the end, rounded down to 4 KiB (super_1_load).
    let version_1_0 = sectors
        .checked_sub(16)
        .map(|sectors| (sectors & !7) * SECTOR);
    let rounded = size / MD_RESERVED * MD_RESERVED;
    [
        Some(0),
        Some(4096),
        version_1_0,
        rounded.checked_sub(MD_RESERVED),
    ]
}

/// Version 1 knows its own place; version 0.90 is in the byte order of the machine that made it.
fn is_md(areas: &Areas, offset: u64) -> bool {
    let Some(superblock) = areas.get(offset, 256) else {
        return false;
    };
    let magic: [u8; 4] = field(superblock, 0);
    let little = magic == MD_MAGIC.to_le_bytes();
    let version_1 = little && le32(superblock, 4) == 1 && le64(superblock, 144) == offset / SECTOR;
    let zero_90 = field(superblock, 4) == [0; 4] && (little || magic == MD_MAGIC.to_be_bytes());
    version_1 || zero_90
}

fn find_drbd(areas: &Areas) -> Option<(&'static str, u64)> {
    let (offset, block) = areas.before_end(4096, 64)?;
    let magic = u32::from_be_bytes(field(block, 60));
    DRBD_MAGICS.contains(&magic).then_some(("DRBD", offset))
}

fn find_anchor(areas: &Areas) -> Option<(&'static str, u64)> {
    ANCHORS.iter().find_map(|(name, back, magic)| {
        let (offset, found) = areas.before_end(*back, magic.len())?;
        (found == *magic).then_some((*name, offset))
    })
}
