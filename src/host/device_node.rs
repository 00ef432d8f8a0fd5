//! A block device node together with the disk that it must lead to.
//!
//! Numbers and names of disks are re-used: a node is opened only to be compared with what was
//! meant, and while it is open the kernel gives neither its number nor its name to another disk.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use nvme_sysfs::{DevT, Diskseq};
use rustix::fs::{Advice, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use thiserror::Error;

use super::attribute::{self, AttributeError};

/// A node such as `/dev/nvme0n1` and the disk behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceNode {
    /// Path of the node.
    pub path: PathBuf,
    /// Device number of the disk.
    pub dev: DevT,
    /// Its sequence number, where the kernel has one (since 5.15).
    pub diskseq: Option<Diskseq>,
}

/// How a node is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// Beside others.
    Shared,
    /// As the only owner: the kernel refuses while a mount, swap or another device owns the disk.
    Exclusive,
}

/// Why a device node was not opened.
#[derive(Debug, Error)]
pub enum OpenNodeError {
    /// Somebody owns the device.
    #[error("{} is in use: a mount, swap or another device owns it", path.display())]
    InUse {
        /// The node.
        path: PathBuf,
    },
    /// The node cannot be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// The node.
        path: PathBuf,
        /// What the kernel answered.
        source: Errno,
    },
    /// The path does not lead to a block device.
    #[error("{} is not a block device", path.display())]
    NotBlock {
        /// The path.
        path: PathBuf,
    },
    /// The node leads to another disk than the one that is meant.
    #[error("{} is the disk {found}, not {expected}", path.display())]
    OtherDisk {
        /// The node.
        path: PathBuf,
        /// What it leads to.
        found: DiskNumber,
        /// What was meant.
        expected: DiskNumber,
    },
    /// The sequence number of the disk cannot be read.
    #[error("cannot tell the sequence number of the disk")]
    Diskseq(#[from] AttributeError),
}

/// What names one disk of this boot: device number and, where there is one, sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskNumber {
    /// Device number.
    pub dev: DevT,
    /// Sequence number.
    pub diskseq: Option<Diskseq>,
}

impl fmt::Display for DiskNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.dev)?;
        match self.diskseq {
            Some(diskseq) => write!(f, " with sequence number {diskseq}"),
            None => Ok(()),
        }
    }
}

impl DeviceNode {
    /// Opens the node for reading and proves that it leads to the disk that is meant; the sequence
    /// number is read below `root`.
    ///
    /// # Errors
    /// [`OpenNodeError`]; [`OpenNodeError::InUse`] only for [`Opening::Exclusive`].
    pub fn open(&self, root: &Path, opening: Opening) -> Result<File, OpenNodeError> {
        let path = || self.path.clone();
        let exclusive = match opening {
            Opening::Shared => OFlags::empty(),
            Opening::Exclusive => OFlags::EXCL,
        };
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | exclusive;
        let node = match rustix::fs::openat(CWD, &self.path, flags, Mode::empty()) {
            Ok(node) => File::from(node),
            Err(Errno::BUSY) => return Err(OpenNodeError::InUse { path: path() }),
            Err(source) => {
                return Err(OpenNodeError::Open {
                    path: path(),
                    source,
                });
            }
        };
        let stat = rustix::fs::fstat(&node).map_err(|source| OpenNodeError::Open {
            path: path(),
            source,
        })?;
        self.check(root, &stat)?;
        // What others wrote, on another node or past the cache of the device as xfs does, is not in
        // the pages that an earlier look left.
        let forgotten = rustix::fs::fadvise(&node, 0, None, Advice::DontNeed);
        forgotten.map_err(|source| OpenNodeError::Open {
            path: path(),
            source,
        })?;
        Ok(node)
    }

    fn check(&self, root: &Path, stat: &Stat) -> Result<(), OpenNodeError> {
        if !FileType::from_raw_mode(stat.st_mode).is_block_device() {
            let path = self.path.clone();
            return Err(OpenNodeError::NotBlock { path });
        }
        let dev = DevT {
            major: rustix::fs::major(stat.st_rdev),
            minor: rustix::fs::minor(stat.st_rdev),
        };
        // Read while the node is open, so it is the sequence number of this very disk.
        let diskseq = match self.diskseq {
            Some(_) => read_diskseq(root, dev)?,
            None => None,
        };
        let found = DiskNumber { dev, diskseq };
        let expected = DiskNumber {
            dev: self.dev,
            diskseq: self.diskseq,
        };
        if found == expected {
            return Ok(());
        }
        Err(OpenNodeError::OtherDisk {
            path: self.path.clone(),
            found,
            expected,
        })
    }
}

/// `/sys/dev/block/MAJOR:MINOR/diskseq` (Documentation/ABI/stable/sysfs-block).
fn read_diskseq(root: &Path, dev: DevT) -> Result<Option<Diskseq>, OpenNodeError> {
    let directory = root.join("sys/dev/block").join(dev.to_string());
    let path = directory.join("diskseq");
    match attribute::parsed(&path)? {
        Some(number) => Ok(Some(Diskseq(number))),
        None => Err(AttributeError::new("read", &path, Errno::NOENT.into()).into()),
    }
}

impl fmt::Display for DeviceNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const DEV: DevT = DevT {
        major: 259,
        minor: 0,
    };

    fn node(path: &Path) -> DeviceNode {
        DeviceNode {
            path: path.to_owned(),
            dev: DEV,
            diskseq: None,
        }
    }

    #[test]
    fn a_plain_file_is_no_device() {
        let root = tempfile::tempdir().expect("temporary directory");
        let path = root.path().join("nvme0n1");
        fs::write(&path, "").expect("file");
        let error = node(&path)
            .open(root.path(), Opening::Shared)
            .expect_err("a plain file");
        assert!(matches!(error, OpenNodeError::NotBlock { .. }), "{error}");
    }

    #[test]
    fn a_node_that_is_not_there_names_itself() {
        let root = tempfile::tempdir().expect("temporary directory");
        let path = root.path().join("nvme0n1");
        let error = node(&path)
            .open(root.path(), Opening::Exclusive)
            .expect_err("no node");
        assert!(
            matches!(&error, OpenNodeError::Open { source, .. } if *source == Errno::NOENT),
            "{error}"
        );
    }

    #[test]
    fn a_sequence_number_is_read_below_the_root() {
        let root = tempfile::tempdir().expect("temporary directory");
        let directory = root.path().join("sys/dev/block/259:0");
        fs::create_dir_all(&directory).expect("directory");
        for (text, expected) in [("17\n", Some(17)), ("x\n", None), ("\n", None)] {
            fs::write(directory.join("diskseq"), text).expect("attribute");
            let found = read_diskseq(root.path(), DEV).ok().flatten();
            assert_eq!(found, expected.map(Diskseq), "{text:?}");
        }
    }

    #[test]
    fn two_disks_that_had_the_same_number_are_told_apart() {
        let one = DiskNumber {
            dev: DEV,
            diskseq: Some(Diskseq(7)),
        };
        let other = DiskNumber {
            diskseq: Some(Diskseq(9)),
            ..one
        };
        assert_ne!(one, other);
        assert_eq!(other.to_string(), "259:0 with sequence number 9");
    }
}
