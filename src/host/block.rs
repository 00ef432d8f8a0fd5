//! A disk with its partitions and holders: `/sys/block/NAME`.
//!
//! Format: `dev` is `MAJOR:MINOR`; `holders/` has one entry per device-mapper, md or bcache device
//! stacked on it; a partition is a directory below its disk that has an attribute `partition`
//! (Documentation/ABI/stable/sysfs-block).
//!
//! Invariant: a device that is not there, or vanishes while it is read, is `None`; anything else
//! that cannot be read is an error.

use std::path::Path;

use nvme_sysfs::DevT;

use super::attribute::{self, AttributeError};

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

/// The disk called `name` followed by its partitions; empty when there is no such disk.
///
/// # Errors
/// [`AttributeError`], when something that is there cannot be read.
pub fn read_disk(root: &Path, name: &str) -> Result<Vec<BlockDevice>, AttributeError> {
    let directory = root.join("sys/block").join(name);
    let Some(mut disk) = read_device(&directory, name)? else {
        return Ok(Vec::new());
    };
    disk.generic = read_generic(root, name)?;
    let mut devices = vec![disk];
    for child in attribute::names(&directory)? {
        let partition = directory.join(&child);
        if child.starts_with(name) && partition.join("partition").exists() {
            devices.extend(read_device(&partition, &child)?);
        }
    }
    Ok(devices)
}

fn read_device(directory: &Path, name: &str) -> Result<Option<BlockDevice>, AttributeError> {
    let Some(dev) = attribute::parsed(&directory.join("dev"))? else {
        return Ok(None);
    };
    Ok(Some(BlockDevice {
        name: name.to_owned(),
        dev,
        holders: attribute::names(&directory.join("holders"))?,
        generic: None,
    }))
}

fn read_generic(root: &Path, disk: &str) -> Result<Option<GenericDevice>, AttributeError> {
    let Some(numbers) = disk.strip_prefix("nvme") else {
        return Ok(None);
    };
    let name = format!("ng{numbers}");
    let dev = attribute::parsed(&root.join("sys/class/nvme-generic").join(&name).join("dev"))?;
    Ok(dev.map(|dev| GenericDevice { name, dev }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::causes::chain;

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
        let error = read_disk(root.path(), "nvme0n1").expect_err("no minor number");
        let error = chain(&error);
        assert!(error.ends_with("nvme0n1/dev: it says \"259\""), "{error}");
    }
}
