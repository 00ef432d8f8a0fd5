//! The uses of a disk, found in what was read. Pure.

use std::io;
use std::path::{Path, PathBuf};

use nvme_sysfs::DevT;

use super::Use;
use crate::host::backing::Backing;
use crate::host::block::BlockDevice;
use crate::host::mountinfo::MountTable;
use crate::host::processes::{OpenFile, Process};

pub(super) fn find_holders(devices: &[BlockDevice]) -> impl Iterator<Item = Use> {
    devices.iter().flat_map(|device| {
        device.holders.iter().map(|holder| Use::Held {
            device: device.name.clone(),
            holder: holder.clone(),
        })
    })
}

pub(super) fn find_swap(devices: &[BlockDevice], swaps: &[PathBuf]) -> impl Iterator<Item = Use> {
    swaps
        .iter()
        .filter_map(|path| find_by_node(devices, path))
        .map(|device| Use::Swap {
            device: device.name.clone(),
        })
}

pub(super) fn find_opened(
    devices: &[BlockDevice],
    backings: &[Backing],
) -> impl Iterator<Item = Use> {
    backings.iter().filter_map(|backing| {
        let device = find_by_node(devices, &backing.path)?;
        Some(opened(device, backing))
    })
}

/// The same by the path of a node that is bound elsewhere, as kubelet does with the node of a raw
/// block volume before it puts a loop device on it.
pub(super) fn find_opened_where_bound(
    devices: &[BlockDevice],
    backings: &[Backing],
    table: &MountTable,
) -> impl Iterator<Item = Use> {
    backings.iter().filter_map(|backing| {
        let node = table.find_mount_at(&backing.path)?;
        let name = (node.filesystem == "devtmpfs").then(|| node.root.file_name())??;
        let device = devices.iter().find(|device| name == device.name.as_str())?;
        Some(opened(device, backing))
    })
}

fn opened(device: &BlockDevice, backing: &Backing) -> Use {
    Use::Opened {
        device: device.name.clone(),
        opener: backing.opener.clone(),
    }
}

/// A filesystem that spans devices (btrfs) has an anonymous device number, so its source counts as
/// well.
pub(super) fn find_mounts(
    devices: &[BlockDevice],
    table: &MountTable,
    process: &Process,
) -> impl Iterator<Item = Use> {
    table.iter().filter_map(|mount| {
        let device = match mount.dev.major {
            0 => find_by_node(devices, &mount.source),
            _ => find_by_dev(devices, mount.dev),
        }?;
        Some(Use::Mounted {
            device: device.name.clone(),
            mount_point: mount.mount_point.clone(),
            process: process.clone(),
        })
    })
}

pub(super) fn find_open(
    devices: &[BlockDevice],
    files: &[OpenFile],
    process: &Process,
) -> impl Iterator<Item = Use> {
    files.iter().filter_map(|file| {
        let block = match file {
            OpenFile::BlockDevice(dev) => find_by_dev(devices, *dev),
            OpenFile::Link(path) => find_by_node(devices, path),
            OpenFile::CharacterDevice(_) | OpenFile::Unknown(_) => None,
        };
        let device = match block {
            Some(device) => &device.name,
            None => find_generic(devices, file)?,
        };
        Some(Use::Open {
            device: device.clone(),
            process: process.clone(),
        })
    })
}

fn find_generic<'a>(devices: &'a [BlockDevice], file: &OpenFile) -> Option<&'a String> {
    let mut generic = devices.iter().filter_map(|device| device.generic.as_ref());
    let found = generic.find(|generic| match file {
        OpenFile::CharacterDevice(dev) => generic.dev == *dev,
        OpenFile::Link(path) => path.ends_with(Path::new("dev").join(&generic.name)),
        OpenFile::BlockDevice(_) | OpenFile::Unknown(_) => false,
    })?;
    Some(&found.name)
}

/// The first file that cannot be looked at: one is enough to say so.
pub(super) fn find_unknown(files: &[OpenFile]) -> Option<io::ErrorKind> {
    files.iter().find_map(|file| match file {
        OpenFile::Unknown(kind) => Some(*kind),
        OpenFile::BlockDevice(_) | OpenFile::CharacterDevice(_) | OpenFile::Link(_) => None,
    })
}

fn find_by_dev(devices: &[BlockDevice], dev: DevT) -> Option<&BlockDevice> {
    devices.iter().find(|device| device.dev == dev)
}

fn find_by_node<'a>(devices: &'a [BlockDevice], path: &Path) -> Option<&'a BlockDevice> {
    let directory = path.parent()?.file_name()?;
    let name = path.file_name()?;
    devices
        .iter()
        .find(|device| directory == "dev" && name == device.name.as_str())
}
