//! The areas of a device in which formats keep their signatures, read into memory.
//!
//! Which areas, and who is the last to need them:
//! - the first 8 MiB: the second LUKS2 header may begin at 4 MiB, VMFS signs at 1 and 2 MiB
//! - 4 KiB at 64 MiB and at 256 GiB: copies of the btrfs superblock
//! - the last 1 MiB: md 0.90 and 1.0, DRBD, ZFS labels 2 and 3, firmware RAID, the backup GPT
//!
//! Invariant: an area is read as a whole or the read is an error.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use super::{ProbeError, read_bytes};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const HEAD: u64 = 8 * MIB;
const TAIL: u64 = MIB;
const BTRFS_COPIES: [u64; 2] = [64 * MIB, 256 * 1024 * MIB];
const BTRFS_SUPERBLOCK: u64 = 4 * KIB;

/// Something that has a size and can be read anywhere, such as a block device.
pub trait ReadAt {
    /// Size in bytes.
    ///
    /// # Errors
    /// When it cannot be told.
    fn size(&self) -> io::Result<u64>;

    /// Fills the whole buffer from `offset` on.
    ///
    /// # Errors
    /// When not every byte can be read.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn size(&self) -> io::Result<u64> {
        // stat(2) gives 0 for a block device.
        (&mut &*self).seek(SeekFrom::End(0))
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }
}

/// The places of a device that hold no contents of files, given the size of the ext or xfs on it,
/// which is 0 when there is none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outside {
    pub(super) filesystem_bytes: u64,
}

impl Outside {
    /// In front of this, ext and xfs keep their own metadata, or leave what was there: a pool of ZFS
    /// leaves an older superblock of theirs in place in turn.
    const FRONT: u64 = 128 * KIB;

    /// Whether a signature at a place counts.
    pub(super) fn contains(self, offset: u64) -> bool {
        offset < Self::FRONT || offset >= self.filesystem_bytes
    }
}

/// One area: where it begins, and its bytes.
#[derive(Debug)]
struct Area {
    offset: u64,
    bytes: Vec<u8>,
}

/// Every area of one device. They may overlap on a small one.
#[derive(Debug)]
pub(super) struct Areas {
    size: u64,
    areas: Vec<Area>,
}

impl Areas {
    /// Reads them all.
    pub(super) fn read(device: &impl ReadAt) -> Result<Areas, ProbeError> {
        let size = device.size().map_err(ProbeError::Size)?;
        if size == 0 {
            return Err(ProbeError::Empty);
        }
        let mut areas = vec![
            read_area(device, 0, HEAD.min(size))?,
            read_area(device, size.saturating_sub(TAIL), TAIL.min(size))?,
        ];
        for offset in BTRFS_COPIES {
            if offset + BTRFS_SUPERBLOCK <= size {
                areas.push(read_area(device, offset, BTRFS_SUPERBLOCK)?);
            }
        }
        Ok(Areas { size, areas })
    }

    /// Size of the device in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The first area, which begins at byte 0.
    pub(super) fn head(&self) -> &[u8] {
        &self.areas[0].bytes
    }

    /// `length` bytes at `offset`; `None` where they were not read or the device has none.
    pub(super) fn get(&self, offset: u64, length: usize) -> Option<&[u8]> {
        self.areas.iter().find_map(|area| {
            let start = usize::try_from(offset.checked_sub(area.offset)?).ok()?;
            area.bytes.get(start..start.checked_add(length)?)
        })
    }

    /// Whether `magic` stands at `offset`.
    pub(super) fn has(&self, offset: u64, magic: &[u8]) -> bool {
        self.get(offset, magic.len()) == Some(magic)
    }

    /// `length` bytes that begin `back` bytes before the end, and where that is.
    pub(super) fn before_end(&self, back: u64, length: usize) -> Option<(u64, &[u8])> {
        let offset = self.size.checked_sub(back)?;
        Some((offset, self.get(offset, length)?))
    }

    /// Where the first byte is that is not zero.
    pub(super) fn first_nonzero(&self) -> Option<u64> {
        let first = |area: &Area| {
            let place = find_nonzero(&area.bytes)?;
            Some(area.offset + u64::try_from(place).ok()?)
        };
        self.areas.iter().filter_map(first).min()
    }
}

/// Whole pages are compared at once: an area has up to 8 MiB, and is mostly empty.
fn find_nonzero(bytes: &[u8]) -> Option<usize> {
    const ZEROS: [u8; 4096] = [0; 4096];
    let page = bytes
        .chunks(ZEROS.len())
        .position(|page| *page != ZEROS[..page.len()])?;
    let start = page * ZEROS.len();
    let place = bytes[start..].iter().position(|&byte| byte != 0)?;
    Some(start + place)
}

fn read_area(device: &impl ReadAt, offset: u64, length: u64) -> Result<Area, ProbeError> {
    let length = usize::try_from(length).expect("no area is longer than 8 MiB");
    let mut bytes = vec![0; length];
    read_bytes(device, &mut bytes, offset)?;
    Ok(Area { offset, bytes })
}

/// A little-endian number at `offset` of a superblock; 0 where the superblock is cut off.
pub(super) fn le16(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes(field(bytes, offset))
}

/// As [`le16`].
pub(super) fn le32(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(field(bytes, offset))
}

/// As [`le16`].
pub(super) fn le64(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(field(bytes, offset))
}

/// The bytes of one field.
pub(super) fn field<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let found = bytes.get(offset..).and_then(|rest| rest.first_chunk());
    found.copied().unwrap_or([0; N])
}
