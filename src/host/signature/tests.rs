//! Signatures on images: made by their own programs, or written by hand.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::host::command::{Invocation, Programs};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A sparse device in memory.
#[derive(Debug, Default)]
struct Image {
    size: u64,
    writes: BTreeMap<u64, Vec<u8>>,
    broken: Option<u64>,
}

impl Image {
    fn new(size: u64) -> Image {
        Image {
            size,
            ..Image::default()
        }
    }

    fn with(mut self, offset: u64, bytes: &[u8]) -> Image {
        self.writes.insert(offset, bytes.to_vec());
        self
    }

    /// With an ext4 superblock of a filesystem of this size.
    fn with_ext4(self, bytes: u64) -> Image {
        let mut superblock = [0; 0x70];
        let blocks = u32::try_from(bytes / 4096).expect("small");
        superblock[0x4..0x8].copy_from_slice(&blocks.to_le_bytes());
        superblock[0x18] = 2;
        superblock[0x20..0x24].copy_from_slice(&32768_u32.to_le_bytes());
        superblock[0x38..0x3A].copy_from_slice(&[0x53, 0xEF]);
        superblock[0x60] = 0x40;
        self.with(1024, &superblock)
    }
}

impl ReadAt for Image {
    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset + u64::try_from(buffer.len()).expect("small");
        if self.broken.is_some_and(|bad| (offset..end).contains(&bad)) {
            return Err(io::Error::from_raw_os_error(5));
        }
        buffer.fill(0);
        for (start, bytes) in &self.writes {
            for (place, byte) in (*start..).zip(bytes) {
                if (offset..end).contains(&place) {
                    buffer[usize::try_from(place - offset).expect("small")] = *byte;
                }
            }
        }
        Ok(())
    }
}

fn found(image: &Image) -> Found {
    probe(image).expect("readable")
}

fn name_of(image: &Image) -> String {
    found(image).to_string()
}

/// A file formatted by its own program.
fn made_by(program: &'static str, arguments: &[&str], size: u64) -> File {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("image");
    let file = File::create_new(&path).expect("a file");
    file.set_len(size).expect("sparse");
    let arguments = arguments.iter().map(Into::into);
    let invocation = Invocation {
        program,
        arguments: arguments.chain([path.clone().into()]).collect(),
        deadline: Duration::from_secs(300),
    };
    Programs::installed(Path::new("/"))
        .run_to_success(&invocation)
        .expect("the lab's set-up installs it");
    File::open(&path).expect("a file")
}

#[test]
fn a_device_of_zeros_is_blank_whatever_its_size() {
    for size in [512, 4096, MIB + 512, 8 * MIB, 65 * MIB, 300 * GIB] {
        assert_eq!(found(&Image::new(size)), Found::Blank, "{size}");
    }
}

#[test]
fn one_unknown_byte_in_any_area_is_not_blank() {
    let size = 300 * GIB + 512;
    for offset in [
        0,
        511,
        8 * MIB - 1,
        64 * MIB,
        256 * GIB + 4095,
        size - MIB,
        size - 1,
    ] {
        let image = Image::new(size).with(offset, &[1]);
        assert_eq!(found(&image), Found::Unknown { offset });
    }
}

#[test]
fn a_read_error_anywhere_is_an_error_and_never_blank() {
    for bad in [0, 4 * MIB, 64 * MIB + 5, GIB - 1] {
        let mut image = Image::new(GIB);
        image.broken = Some(bad);
        let error = probe(&image).expect_err("a bad sector");
        assert!(matches!(error, ProbeError::Read { .. }), "{bad}: {error}");
    }
}

#[test]
fn a_device_that_has_vanished_is_an_error() {
    let error = probe(&Image::new(0)).expect_err("no bytes");
    assert!(matches!(error, ProbeError::Empty), "{error}");
}

/// A device that became shorter after its size was read.
struct Truncated;

impl ReadAt for Truncated {
    fn size(&self) -> io::Result<u64> {
        Ok(32 * MIB)
    }

    fn read_exact_at(&self, _buffer: &mut [u8], _offset: u64) -> io::Result<()> {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

#[test]
fn a_short_read_is_an_error() {
    let error = probe(&Truncated).expect_err("short");
    assert_eq!(error.to_string(), "cannot read 8388608 bytes at 0");
}

#[test]
fn each_known_signature_is_named_with_its_place() {
    for (offset, bytes, name) in [
        (4086, &b"SWAPSPACE2"[..], "swap (at byte 4086)"),
        (65526, b"SWAPSPACE2", "swap (at byte 65526)"),
        (
            512 + 24,
            b"LVM2 001",
            "an LVM physical volume (at byte 536)",
        ),
        (0, b"LUKS\xba\xbe\0\x01", "LUKS (at byte 0)"),
        (4 * MIB, b"SKUL\xba\xbe\0\x02", "LUKS (at byte 4194304)"),
        (64 * KIB + 64, b"_BHRfS_M", "btrfs (at byte 65600)"),
        (64 * MIB + 64, b"_BHRfS_M", "btrfs (at byte 67108928)"),
        (512, b"EFI PART", "a GPT partition table (at byte 512)"),
        (4096, b"EFI PART", "a GPT partition table (at byte 4096)"),
        (
            GIB - 512,
            b"EFI PART",
            "a GPT partition table (at byte 1073741312)",
        ),
        (
            GIB - 4096,
            b"EFI PART",
            "a GPT partition table (at byte 1073737728)",
        ),
        (510, b"\x55\xaa", "a boot sector (at byte 0)"),
        (3, b"NTFS    ", "NTFS (at byte 3)"),
        (32769, b"CD001", "ISO 9660 (at byte 32769)"),
        (1024, b"\x10\x20\xf5\xf2", "f2fs (at byte 1024)"),
        (MIB, b"\x0d\xd0\x01\xc0", "VMFS (at byte 1048576)"),
        (GIB - 4036, b"\x83\x74\x02\x6d", "DRBD (at byte 1073737728)"),
        (
            GIB - 1024,
            b"Intel Raid ISM Cfg Sig. 1.0",
            "an Intel RAID member (at byte 1073740800)",
        ),
    ] {
        assert_eq!(name_of(&Image::new(GIB).with(offset, bytes)), name);
    }
}

#[test]
fn a_partition_in_an_mbr_is_told_from_a_bare_boot_sector() {
    let entry = [0x80, 0, 2, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 0, 1, 0];
    let image = Image::new(GIB).with(462, &entry).with(510, b"\x55\xaa");
    assert_eq!(name_of(&image), "an MBR partition table (at byte 0)");
}

#[test]
fn a_partition_table_over_an_old_ext4_is_a_partition_table() {
    let entry = [0, 0, 2, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 0, 1, 0];
    let image = Image::new(GIB).with_ext4(GIB);
    let image = image.with(446, &entry).with(510, b"\x55\xaa");
    assert_eq!(name_of(&image), "an MBR partition table (at byte 0)");
}

#[test]
fn boot_code_in_front_of_ext4_is_no_partition_table() {
    let image = Image::new(GIB).with_ext4(GIB);
    let image = image.with(0, &[0xEB; 500]).with(510, b"\x55\xaa");
    assert_eq!(name_of(&image), "ext4");
}

fn md_1(offset: u64) -> Vec<u8> {
    let mut superblock = vec![0; 152];
    superblock[..8].copy_from_slice(b"\xfc\x4e\x2b\xa9\x01\0\0\0");
    superblock[144..].copy_from_slice(&(offset / 512).to_le_bytes());
    superblock
}

#[test]
fn every_version_of_md_is_found_where_it_is() {
    let name = |offset| format!("an md RAID member (at byte {offset})");
    for size in [GIB, GIB + 512, GIB + 60 * KIB] {
        let version_1_0 = (size - 8 * KIB) / 4096 * 4096;
        for offset in [0, 4096, version_1_0] {
            let image = Image::new(size).with(offset, &md_1(offset));
            assert_eq!(name_of(&image), name(offset), "{size}");
        }
        let version_0_90 = size / (64 * KIB) * (64 * KIB) - 64 * KIB;
        for magic in [b"\xfc\x4e\x2b\xa9", b"\xa9\x2b\x4e\xfc"] {
            let image = Image::new(size).with(version_0_90, magic);
            assert_eq!(name_of(&image), name(version_0_90), "{size}");
        }
    }
}

#[test]
fn an_md_superblock_that_was_copied_elsewhere_is_not_one() {
    let image = Image::new(GIB).with(4096, &md_1(0));
    assert_eq!(found(&image), Found::Unknown { offset: 4096 });
}

#[test]
fn a_member_of_a_mirror_is_not_its_filesystem() {
    let place = GIB - 8 * KIB;
    let image = Image::new(GIB).with_ext4(GIB - 64 * KIB);
    let image = image.with(place, &md_1(place));
    assert_eq!(
        name_of(&image),
        format!("an md RAID member (at byte {place})")
    );
}

#[test]
fn what_a_file_holds_at_the_end_of_a_filesystem_is_no_signature() {
    let place = GIB - 8 * KIB;
    let image = Image::new(GIB).with_ext4(GIB).with(place, &md_1(place));
    let image = image.with(GIB - 512, b"EFI PART");
    assert_eq!(name_of(&image), "ext4");
}

#[test]
fn an_image_of_a_disk_in_a_file_is_no_signature() {
    let image = Image::new(GIB).with_ext4(GIB);
    let image = image.with(64 * MIB + 64, b"_BHRfS_M");
    let image = image.with(4 * MIB, b"SKUL\xba\xbe\0\x02");
    assert_eq!(name_of(&image), "ext4");
}

#[test]
fn a_container_over_an_old_ext4_is_the_container() {
    for (offset, bytes, name) in [
        (0, &b"LUKS\xba\xbe\0\x01"[..], "LUKS (at byte 0)"),
        (536, b"LVM2 001", "an LVM physical volume (at byte 536)"),
        (64 * KIB + 64, b"_BHRfS_M", "btrfs (at byte 65600)"),
    ] {
        let image = Image::new(GIB).with_ext4(GIB).with(offset, bytes);
        assert_eq!(name_of(&image), name);
    }
}

#[test]
fn a_zfs_pool_over_an_old_ext4_is_the_pool() {
    let magic = 0x00BA_B10C_u64.to_le_bytes();
    let image = (0..4).fold(Image::new(GIB).with_ext4(GIB), |image, slot| {
        image.with((128 + slot) * KIB, &magic)
    });
    assert_eq!(name_of(&image), "a ZFS pool member (at byte 0)");
}

#[test]
fn zfs_is_found_by_any_of_its_labels_in_both_byte_orders() {
    let size = GIB + 1000 * 512;
    let end = size / (256 * KIB) * (256 * KIB);
    for label in [0, 256 * KIB, end - 512 * KIB, end - 256 * KIB] {
        for magic in [0x00BA_B10C_u64.to_le_bytes(), 0x00BA_B10C_u64.to_be_bytes()] {
            let uberblock = |slot| label + 128 * KIB + slot * KIB;
            let image = (4..8).fold(Image::new(size), |image, slot| {
                image.with(uberblock(slot), &magic)
            });
            assert_eq!(
                name_of(&image),
                format!("a ZFS pool member (at byte {label})")
            );
        }
    }
}

#[test]
fn what_mke2fs_makes_is_told_by_version_size_and_uuid() {
    let uuid = "11111111-1111-4111-8111-111111111111";
    for (kind, version) in [
        ("ext2", ExtVersion::Ext2),
        ("ext3", ExtVersion::Ext3),
        ("ext4", ExtVersion::Ext4),
    ] {
        let image = made_by("mke2fs", &["-q", "-t", kind, "-U", uuid], 64 * MIB);
        let Found::Ext(ext) = probe(&image).expect("readable") else {
            panic!("no {kind}");
        };
        assert_eq!(ext.version, version);
        assert_eq!(ext.uuid, Some(uuid.parse().expect("a UUID")));
        assert_eq!(ext.size_bytes, 64 * MIB);
        assert_eq!((ext.check, ext.journal), (Check::Unneeded, Journal::Clean));
    }
}

#[test]
fn what_mkfs_xfs_makes_is_told_by_size_and_uuid() {
    let uuid = "11111111-1111-4111-8111-111111111111";
    let metadata = format!("uuid={uuid}");
    let image = made_by("mkfs.xfs", &["-q", "-m", &metadata], 320 * MIB);
    let expected = Xfs {
        uuid: Some(uuid.parse().expect("a UUID")),
        size_bytes: 320 * MIB,
        is_complete: true,
        journal: Journal::Clean,
    };
    assert_eq!(probe(&image).expect("readable"), Found::Xfs(expected));
}

#[test]
fn what_mkswap_makes_is_swap() {
    let image = made_by("mkswap", &[], 64 * MIB);
    let found = probe(&image).expect("readable").to_string();
    assert!(found.starts_with("swap "), "{found}");
}
