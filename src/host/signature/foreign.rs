//! Formats that are told by bytes at a fixed place from the start of a device.
//!
//! Sources: the superblock headers of the kernel (include/uapi/linux, fs/*), of lvm2, cryptsetup,
//! util-linux (libblkid's documentation of magic numbers) and of each format's specification.

use super::Found;
use super::area::{Areas, Outside};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// A name, the places of the magic bytes, and the bytes.
type Magic = (&'static str, &'static [u64], &'static [u8]);

/// Formats that outrank an ext or xfs superblock on the same device, because mounting or
/// formatting it beneath them destroys them, and nothing in an ext or xfs puts such bytes there.
const CONTAINERS: [Magic; 17] = [
    (
        "an LVM physical volume",
        &[24, 536, 1048, 1560],
        b"LVM2 001",
    ),
    ("LUKS", &[0], b"LUKS\xba\xbe"),
    // The second header of LUKS2 has one of these places (cryptsetup, LUKS2 on-disk format 2.4).
    (
        "LUKS",
        &[
            16 * KIB,
            32 * KIB,
            64 * KIB,
            128 * KIB,
            256 * KIB,
            512 * KIB,
            MIB,
            2 * MIB,
            4 * MIB,
        ],
        b"SKUL\xba\xbe",
    ),
    ("BitLocker", &[3], b"-FVE-FS-"),
    ("dm-integrity", &[0], b"integrt\0"),
    ("dm-verity", &[0], b"verity\0\0"),
    ("a dm snapshot", &[0], b"SnAp"),
    ("VDO", &[0], b"dmvdo001"),
    ("Stratis", &[516, 9 * 512 + 4], b"!Stra0tis"),
    ("Ceph BlueStore", &[0], b"bluestore block device"),
    (
        "bcache",
        &[4 * KIB + 24],
        b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81",
    ),
    (
        "bcachefs",
        &[4 * KIB + 24],
        b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef",
    ),
    ("an Oracle ASM disk", &[32], b"ORCLDISK"),
    ("VMFS", &[MIB], b"\x0d\xd0\x01\xc0"),
    ("VMFS", &[2 * MIB], b"\x5e\xf1\xab\x2f"),
    (
        "btrfs",
        &[64 * KIB + 64, 64 * MIB + 64, 256 * 1024 * MIB + 64],
        b"_BHRfS_M",
    ),
    ("GFS2", &[64 * KIB], b"\x01\x16\x19\x70"),
];

/// Formats that cannot be there together with an ext or xfs superblock, or leave one in peace.
const OTHERS: [Magic; 28] = [
    // The end of the first page, whatever its size (include/linux/swap.h).
    ("swap", &SWAP, b"SWAPSPACE2"),
    ("swap", &SWAP, b"SWAP-SPACE"),
    ("a hibernated system", &SWAP, b"S1SUSPEND\0"),
    ("a hibernated system", &SWAP, b"LINHIB0001"),
    ("NTFS", &[3], b"NTFS    "),
    ("exFAT", &[3], b"EXFAT   "),
    ("FAT", &[82], b"FAT32   "),
    ("FAT", &[54], b"FAT16   "),
    ("FAT", &[54], b"FAT12   "),
    ("FAT", &[54], b"FAT     "),
    ("ISO 9660", &[32 * KIB + 1], b"CD001"),
    ("UDF", &[32 * KIB + 1], b"BEA01"),
    ("UDF", &[34 * KIB + 1, 36 * KIB + 1], b"NSR0"),
    ("f2fs", &[KIB, 5 * KIB], b"\x10\x20\xf5\xf2"),
    ("reiserfs", &[8 * KIB + 52, 64 * KIB + 52], b"ReIsEr"),
    ("reiser4", &[64 * KIB], b"ReIsEr4"),
    ("JFS", &[32 * KIB], b"JFS1"),
    ("HFS+", &[KIB], b"H+\x00\x04"),
    ("HFS+", &[KIB], b"HX\x00\x05"),
    ("APFS", &[32], b"NXSB"),
    ("squashfs", &[0], b"hsqs"),
    ("EROFS", &[KIB], b"\xe2\xe1\xf5\xe0"),
    ("cramfs", &[0], b"\x45\x3d\xcd\x28"),
    ("UFS", &[64 * KIB + 1372], b"\x19\x01\x54\x19"),
    ("VxFS", &[KIB], b"\xf5\xfc\x01\xa5"),
    ("OCFS2", &[KIB, 2 * KIB, 4 * KIB, 8 * KIB], b"OCFSV2"),
    ("NILFS2", &[KIB + 4], b"\x00\x00\x34\x34"),
    ("zonefs", &[0], b"SFOZ"),
];

const SWAP: [u64; 5] = [
    4 * KIB - 10,
    8 * KIB - 10,
    16 * KIB - 10,
    32 * KIB - 10,
    64 * KIB - 10,
];

/// A container of other devices or data.
pub(super) fn find_container(areas: &Areas, outside: Outside) -> Option<Found> {
    find(areas, &CONTAINERS, |offset| outside.contains(offset))
}

/// Another filesystem, or swap.
pub(super) fn find_other(areas: &Areas) -> Option<Found> {
    find(areas, &OTHERS, |_| true)
}

fn find(areas: &Areas, table: &[Magic], counts: impl Fn(u64) -> bool) -> Option<Found> {
    table.iter().find_map(|(name, places, magic)| {
        let is_there = |place: &&u64| counts(**place) && areas.has(**place, magic);
        let offset = *places.iter().find(is_there)?;
        Some(Found::Other { name, offset })
    })
}
