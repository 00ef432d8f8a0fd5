//! Grows a mounted filesystem to the size of its device.
//!
//! The sizes are compared, not remembered: a volume whose device was grown by a call that failed
//! later is grown by the next one. A rest of the device that is too small for a group of the
//! filesystem is left out.

use std::fs::File;
use std::path::Path;

use nvme_sysfs::DevT;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use super::ext4_resize;
use super::xfs_geometry::{self, Geometry};
use super::{GrowError, Grown};
use crate::host::device_node::{DeviceNode, Opening};
use crate::host::filesystem_type::FilesystemType;
use crate::host::signature::{self, Layout, ProbeError, ReadAt};

/// Grows the filesystem; see [`crate::host::Host::grow`].
///
/// # Errors
/// [`GrowError`].
pub(crate) fn grow(
    root: &Path,
    mounted_at: &Path,
    device: &DeviceNode,
    fs: FilesystemType,
) -> Result<Grown, GrowError> {
    let mounted = Mounted {
        mounted_at,
        node: device.open(root, Opening::Shared)?,
        mount: open_mount(mounted_at, device)?,
        device,
        fs,
    };
    let device_bytes = mounted.device_bytes()?;
    let before = mounted.read_size(device_bytes)?;
    if before.bytes > device_bytes {
        return Err(GrowError::Shrunk {
            device: device.path.clone(),
            device_bytes,
            filesystem_bytes: before.bytes,
        });
    }
    if before.bytes >= before.largest_bytes {
        return Ok(Grown::Already);
    }
    mounted.resize(&before)?;
    let after = mounted.read_size(device_bytes)?;
    if after.bytes >= before.largest_bytes {
        return Ok(Grown::Grown);
    }
    Err(GrowError::Incomplete {
        mounted_at: mounted_at.to_owned(),
        filesystem_bytes: after.bytes,
        wanted_bytes: before.largest_bytes,
    })
}

/// Opens the root of the mount and proves that it is on the device: the `st_dev` of ext4 and xfs is
/// the number of their device.
fn open_mount(mounted_at: &Path, device: &DeviceNode) -> Result<File, GrowError> {
    let failed = |call, source| GrowError::Call {
        call,
        mounted_at: mounted_at.to_owned(),
        source,
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mount = rustix::fs::openat(CWD, mounted_at, flags, Mode::empty())
        .map_err(|source| failed("open", source))?;
    let stat = rustix::fs::fstat(&mount).map_err(|source| failed("fstat", source))?;
    let found = DevT {
        major: rustix::fs::major(stat.st_dev),
        minor: rustix::fs::minor(stat.st_dev),
    };
    if found == device.dev {
        return Ok(File::from(mount));
    }
    Err(GrowError::OtherMount {
        mounted_at: mounted_at.to_owned(),
        device: device.path.clone(),
    })
}

/// A mounted filesystem with its device.
struct Mounted<'a> {
    mounted_at: &'a Path,
    device: &'a DeviceNode,
    fs: FilesystemType,
    node: File,
    mount: File,
}

/// The size of a filesystem, and what it may become.
#[derive(Debug, Clone, Copy)]
struct Size {
    bytes: u64,
    largest_bytes: u64,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Ext4(Layout),
    Xfs(Geometry),
}

impl Mounted<'_> {
    fn device_bytes(&self) -> Result<u64, GrowError> {
        self.node
            .size()
            .map_err(|source| self.unreadable(ProbeError::Size(source)))
    }

    fn read_size(&self, device_bytes: u64) -> Result<Size, GrowError> {
        match self.fs {
            FilesystemType::Ext4 => self.read_ext4_size(device_bytes),
            FilesystemType::Xfs => self.read_xfs_size(device_bytes),
        }
    }

    /// From the superblock in the cache of the device, which a mounted ext4 keeps up to date.
    fn read_ext4_size(&self, device_bytes: u64) -> Result<Size, GrowError> {
        let found = signature::read_ext(&self.node).map_err(|source| self.unreadable(source))?;
        let ext = found.ok_or_else(|| GrowError::NotExt4 {
            device: self.device.path.clone(),
        })?;
        Ok(Size {
            bytes: ext.size_bytes,
            largest_bytes: ext.largest_size(device_bytes),
            kind: Kind::Ext4(ext.layout),
        })
    }

    fn read_xfs_size(&self, device_bytes: u64) -> Result<Size, GrowError> {
        let geometry = xfs_geometry::read_geometry(&self.mount)
            .map_err(|source| self.failed("XFS_IOC_FSGEOMETRY", source))?;
        let largest = geometry.largest_size(device_bytes / geometry.block_bytes);
        Ok(Size {
            bytes: geometry.blocks.saturating_mul(geometry.block_bytes),
            largest_bytes: largest * geometry.block_bytes,
            kind: Kind::Xfs(geometry),
        })
    }

    fn resize(&self, size: &Size) -> Result<(), GrowError> {
        match &size.kind {
            Kind::Ext4(layout) => {
                let blocks = size.largest_bytes / layout.block_bytes;
                ext4_resize::resize(&self.mount, blocks)
                    .map_err(|source| self.failed("EXT4_IOC_RESIZE_FS", source))
            }
            Kind::Xfs(geometry) => {
                let blocks = size.largest_bytes / geometry.block_bytes;
                xfs_geometry::grow(&self.mount, blocks, geometry)
                    .map_err(|source| self.failed("XFS_IOC_FSGROWFSDATA", source))
            }
        }
    }

    fn unreadable(&self, source: ProbeError) -> GrowError {
        let mounted_at = self.mounted_at.to_owned();
        GrowError::Size { mounted_at, source }
    }

    fn failed(&self, call: &'static str, source: Errno) -> GrowError {
        GrowError::Call {
            call,
            mounted_at: self.mounted_at.to_owned(),
            source,
        }
    }
}
