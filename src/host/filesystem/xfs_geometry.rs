//! `XFS_IOC_FSGEOMETRY` and `XFS_IOC_FSGROWFSDATA`, which tell and change the size of a mounted xfs
//! (fs/xfs/libxfs/xfs_fs.h).
//!
//! The kernel wants CAP_SYS_ADMIN to grow. This file is the only unsafe code for both.

use std::os::fd::AsFd;
use std::path::Path;

use nvme_sysfs::Uuid;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::ioctl::{Getter, Opcode, Setter, ioctl, opcode};

/// `_IOR('X', 126, struct xfs_fsop_geom)`, since 5.2.
const FSGEOMETRY: Opcode = opcode::read::<RawGeometry>(b'X', 126);
/// `_IOW('X', 110, struct xfs_growfs_data)`.
const FSGROWFSDATA: Opcode = opcode::write::<GrowData>(b'X', 110);

/// `struct xfs_fsop_geom`, its first fields by name.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct RawGeometry {
    blocksize: u32,
    rtextsize: u32,
    agblocks: u32,
    agcount: u32,
    logblocks: u32,
    sectsize: u32,
    inodesize: u32,
    imaxpct: u32,
    datablocks: u64,
    rtblocks: u64,
    rtextents: u64,
    logstart: u64,
    uuid: [u8; 16],
    rest: [u64; 22],
}

/// The size of an xfs, and what it is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Geometry {
    /// Size of a block in bytes.
    pub(super) block_bytes: u64,
    /// Number of blocks.
    pub(super) blocks: u64,
    blocks_per_group: u64,
    /// Share of inodes in percent, which growing has to repeat.
    most_inodes: u32,
    uuid: [u8; 16],
}

/// The UUID of the mounted xfs with this root, if it is one and has one.
pub(crate) fn read_uuid(mounted_at: &Path) -> Option<Uuid> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mount = rustix::fs::open(mounted_at, flags, Mode::empty()).ok()?;
    Uuid::from_bytes(read_geometry(mount).ok()?.uuid)
}

/// `struct xfs_growfs_data`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct GrowData {
    newblocks: u64,
    imaxpct: u32,
    padding: u32,
}

/// Reads the geometry of the filesystem that `mount` is on.
pub(super) fn read_geometry(mount: impl AsFd) -> Result<Geometry, Errno> {
    #[expect(unsafe_code, reason = "an ioctl that rustix does not know")]
    // SAFETY: the opcode is the kernel's for a pointer to a struct of this size and layout, all of
    // whose bytes it writes and any bytes of which are a valid value; on a file of another kind it
    // answers ENOTTY.
    let raw = unsafe { ioctl(mount, Getter::<FSGEOMETRY, RawGeometry>::new())? };
    if raw.blocksize == 0 || raw.agblocks == 0 {
        return Err(Errno::UCLEAN);
    }
    Ok(Geometry {
        block_bytes: raw.blocksize.into(),
        blocks: raw.datablocks,
        blocks_per_group: raw.agblocks.into(),
        most_inodes: raw.imaxpct,
        uuid: raw.uuid,
    })
}

/// Grows the filesystem that `mount` is on to a number of its blocks.
pub(super) fn grow(mount: impl AsFd, blocks: u64, geometry: &Geometry) -> Result<(), Errno> {
    let data = GrowData {
        newblocks: blocks,
        imaxpct: geometry.most_inodes,
        padding: 0,
    };
    #[expect(unsafe_code, reason = "an ioctl that rustix does not know")]
    // SAFETY: the opcode is the kernel's for a pointer to a struct of this layout, which it only
    // reads; on a file of another kind it answers ENOTTY.
    unsafe {
        ioctl(mount, Setter::<FSGROWFSDATA, GrowData>::new(data))
    }
}

impl Geometry {
    /// The largest number of blocks that it may be grown to on a device that has `blocks`: a last
    /// allocation group smaller than `XFS_MIN_AG_BLOCKS` is left out (`xfs_growfs_data_private`).
    pub(super) fn largest_size(&self, blocks: u64) -> u64 {
        const LEAST: u64 = 64;
        let in_last = blocks % self.blocks_per_group;
        if in_last < LEAST {
            blocks - in_last
        } else {
            blocks
        }
    }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    #[test]
    fn the_structs_and_their_numbers_are_the_kernels() {
        assert_eq!(size_of::<RawGeometry>(), 256);
        assert_eq!(offset_of!(RawGeometry, imaxpct), 28);
        assert_eq!(offset_of!(RawGeometry, datablocks), 32);
        assert_eq!(offset_of!(RawGeometry, uuid), 64);
        assert_eq!(FSGEOMETRY, 0x8100_587E);
        assert_eq!(size_of::<GrowData>(), 16);
        assert_eq!(FSGROWFSDATA, 0x4010_586E);
    }

    #[test]
    fn a_file_on_another_filesystem_answers_an_error() {
        let procfs = std::fs::File::open("/proc/version").expect("a file");
        let error = read_geometry(&procfs).expect_err("no xfs");
        assert_eq!(error, Errno::NOTTY);
    }

    #[test]
    fn a_last_group_that_is_too_small_is_left_out() {
        let geometry = Geometry {
            block_bytes: 4096,
            blocks: 4000,
            blocks_per_group: 1000,
            most_inodes: 25,
            uuid: [0; 16],
        };
        for (blocks, expected) in [(5000, 5000), (5001, 5000), (5063, 5000), (5064, 5064)] {
            assert_eq!(geometry.largest_size(blocks), expected);
        }
    }
}
