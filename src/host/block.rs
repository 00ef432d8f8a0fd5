//! A disk with its partitions and holders: `/sys/block/NAME`.
//!
//! Format: `dev` is `MAJOR:MINOR`; `holders/` has one entry per device-mapper, md or bcache device
//! stacked on it; a partition is a directory below its disk that has an attribute `partition`
//! (Documentation/ABI/stable/sysfs-block).
//!
//! Invariant: a device that is not there, or vanishes while it is read, is `None`; anything else
//! that cannot be read is an error.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nvme_sysfs::DevT;
use rustix::io::Errno;
use thiserror::Error;

/// A disk or a partition of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockDevice {
    /// Kernel name, for example `nvme0n1` or `nvme0n1p2`.
    pub name: String,
    /// Its number, which mounts and open files refer to.
    pub dev: DevT,
    /// Names of the devices built on top of it.
    pub holders: Vec<String>,
    /// The character device of a whole disk.
    pub generic: Option<GenericDevice>,
}

/// The character device of a namespace, through which commands go past the block layer
/// (`/sys/class/nvme-generic/ngXnY`, since 5.13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenericDevice {
    /// Kernel name, for example `ng0n1` for the disk `nvme0n1`.
    pub name: String,
    /// Its number, of a character device.
    pub dev: DevT,
}

/// Why a block device could not be read.
#[derive(Debug, Error)]
pub enum ReadBlockError {
    /// A file or directory of it cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// Its `dev` attribute is not a device number.
    #[error("{}: {value:?} is not a device number MAJOR:MINOR", path.display())]
    Dev {
        /// The attribute.
        path: PathBuf,
        /// What it says.
        value: String,
    },
}

/// The disk called `name` followed by its partitions; empty when there is no such disk.
///
/// # Errors
/// [`ReadBlockError`], when something that is there cannot be read.
pub fn read_disk(root: &Path, name: &str) -> Result<Vec<BlockDevice>, ReadBlockError> {
    let directory = root.join("sys/block").join(name);
    let Some(mut disk) = read_device(&directory, name)? else {
        return Ok(Vec::new());
    };
    disk.generic = read_generic(root, name)?;
    let mut devices = vec![disk];
    for child in read_names(&directory)? {
        let partition = directory.join(&child);
        if child.starts_with(name) && partition.join("partition").exists() {
            devices.extend(read_device(&partition, &child)?);
        }
    }
    Ok(devices)
}

fn read_device(directory: &Path, name: &str) -> Result<Option<BlockDevice>, ReadBlockError> {
    let Some(dev) = read_dev(directory.join("dev"))? else {
        return Ok(None);
    };
    Ok(Some(BlockDevice {
        name: name.to_owned(),
        dev,
        holders: read_names(&directory.join("holders"))?,
        generic: None,
    }))
}

fn read_generic(root: &Path, disk: &str) -> Result<Option<GenericDevice>, ReadBlockError> {
    let Some(numbers) = disk.strip_prefix("nvme") else {
        return Ok(None);
    };
    let name = format!("ng{numbers}");
    let dev = read_dev(root.join("sys/class/nvme-generic").join(&name).join("dev"))?;
    Ok(dev.map(|dev| GenericDevice { name, dev }))
}

fn read_dev(path: PathBuf) -> Result<Option<DevT>, ReadBlockError> {
    let value = match fs::read_to_string(&path) {
        Ok(value) => value,
        Err(source) if is_gone(&source) => return Ok(None),
        Err(source) => return Err(ReadBlockError::Read { path, source }),
    };
    match value.trim_end().parse() {
        Ok(dev) => Ok(Some(dev)),
        Err(_) => Err(ReadBlockError::Dev { path, value }),
    }
}

fn read_names(directory: &Path) -> Result<Vec<String>, ReadBlockError> {
    let error = |source| ReadBlockError::Read {
        path: directory.to_owned(),
        source,
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(source) if is_gone(&source) => return Ok(Vec::new()),
        Err(source) => return Err(error(source)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(error)?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

/// Whether the kernel says that what was asked for has gone: a removed device answers ENOENT before
/// an open and ENODEV after it.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOENT | Errno::NODEV | Errno::SRCH)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(root: &Path, below: &str, dev: &str) {
        let directory = root.join("sys/block").join(below);
        fs::create_dir_all(directory.join("holders")).expect("directory");
        fs::write(directory.join("dev"), dev).expect("dev");
    }

    fn mark_partition(root: &Path, below: &str) {
        fs::write(root.join("sys/block").join(below).join("partition"), "1\n").expect("partition");
    }

    #[test]
    fn a_disk_comes_with_its_partitions_and_their_holders() {
        let root = tempfile::tempdir().expect("temporary directory");
        device(root.path(), "nvme0n1", "259:0\n");
        device(root.path(), "nvme0n1/nvme0n1p1", "259:1\n");
        mark_partition(root.path(), "nvme0n1/nvme0n1p1");
        fs::create_dir(root.path().join("sys/block/nvme0n1/nvme0n1p1/holders/dm-0"))
            .expect("holder");
        let devices = read_disk(root.path(), "nvme0n1").expect("readable");
        let names: Vec<_> = devices.iter().map(|device| device.name.as_str()).collect();
        assert_eq!(names, ["nvme0n1", "nvme0n1p1"]);
        assert_eq!(devices[1].holders, ["dm-0"]);
    }

    #[test]
    fn a_directory_without_the_partition_attribute_is_no_partition() {
        let root = tempfile::tempdir().expect("temporary directory");
        device(root.path(), "nvme0n1", "259:0\n");
        device(root.path(), "nvme0n1/nvme0n1x", "259:1\n");
        assert_eq!(
            read_disk(root.path(), "nvme0n1").expect("readable").len(),
            1
        );
    }

    #[test]
    fn a_disk_that_is_not_there_has_no_devices() {
        let root = tempfile::tempdir().expect("temporary directory");
        assert_eq!(
            read_disk(root.path(), "nvme0n1").expect("gone is no error"),
            []
        );
    }

    #[test]
    fn garbage_in_dev_is_an_error_that_names_the_file() {
        let root = tempfile::tempdir().expect("temporary directory");
        device(root.path(), "nvme0n1", "259\n");
        let error = read_disk(root.path(), "nvme0n1")
            .expect_err("no minor number")
            .to_string();
        assert!(
            error.ends_with("nvme0n1/dev: \"259\\n\" is not a device number MAJOR:MINOR"),
            "{error}"
        );
    }
}
