//! Why a filesystem was not made, checked or grown.

use std::path::PathBuf;

use rustix::io::Errno;
use thiserror::Error;

use crate::host::command::CommandError;
use crate::host::device_node::OpenNodeError;
use crate::host::filesystem_type::FilesystemType;
use crate::host::mount::repair_tool;
use crate::host::signature::{Found, ProbeError};

/// Why a device was not formatted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The device is not the one that is meant, is in use, or cannot be opened.
    #[error("the device to be formatted is not usable")]
    Device(#[from] OpenNodeError),
    /// What is on it could not be read, so it is not known to be blank.
    #[error("cannot tell what is on {}", device.display())]
    Probe {
        /// The device.
        device: PathBuf,
        /// Why.
        source: ProbeError,
    },
    /// There is something on it.
    #[error("{} is not blank, it holds {found}: refusing to format it", device.display())]
    NotBlank {
        /// The device.
        device: PathBuf,
        /// What is on it.
        found: Found,
    },
    /// It has another size than the one that is meant.
    #[error("{} has {found} bytes, not {expected}: refusing to format it", device.display())]
    OtherSize {
        /// The device.
        device: PathBuf,
        /// What it has.
        found: u64,
        /// What was meant.
        expected: u64,
    },
    /// The program succeeded and its filesystem is not there.
    #[error("{} holds {found} after {fs} was made on it", device.display())]
    NotMade {
        /// The device.
        device: PathBuf,
        /// The filesystem.
        fs: FilesystemType,
        /// What is on it.
        found: Found,
    },
    /// The program did not succeed.
    #[error("cannot make {fs} on {}", device.display())]
    Program {
        /// The device.
        device: PathBuf,
        /// The filesystem.
        fs: FilesystemType,
        /// How the program ended.
        source: CommandError,
    },
}

/// Why a filesystem did not pass its check.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The device is not the one that is meant, is in use, or cannot be opened.
    #[error("the device to be checked is not usable")]
    Device(#[from] OpenNodeError),
    /// e2fsck found what it does not repair by itself (exit code 4).
    #[error(
        "{} has errors that are not repaired automatically, run {} by hand: {output}",
        device.display(),
        repair_tool(FilesystemType::Ext4)
    )]
    Uncorrected {
        /// The device.
        device: PathBuf,
        /// What e2fsck said last.
        output: String,
    },
    /// e2fsck did not come to a verdict.
    #[error("cannot check {}", device.display())]
    Program {
        /// The device.
        device: PathBuf,
        /// How it ended.
        source: CommandError,
    },
}

/// Why a filesystem was not grown.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GrowError {
    /// The device is not the one that is meant or cannot be opened.
    #[error("the device of the filesystem is not usable")]
    Device(#[from] OpenNodeError),
    /// What is mounted there is on another device.
    #[error("{} is not on the device {}", mounted_at.display(), device.display())]
    OtherMount {
        /// The mount.
        mounted_at: PathBuf,
        /// The device.
        device: PathBuf,
    },
    /// The sizes cannot be read.
    #[error("cannot read the size of the filesystem at {}", mounted_at.display())]
    Size {
        /// The mount.
        mounted_at: PathBuf,
        /// Why.
        source: ProbeError,
    },
    /// There is no ext superblock on the device.
    #[error("{} holds no ext4", device.display())]
    NotExt4 {
        /// The device.
        device: PathBuf,
    },
    /// The device is smaller than the filesystem.
    #[error(
        "{} has {device_bytes} bytes, fewer than the {filesystem_bytes} of its filesystem",
        device.display()
    )]
    Shrunk {
        /// The device.
        device: PathBuf,
        /// Its size.
        device_bytes: u64,
        /// The filesystem's size.
        filesystem_bytes: u64,
    },
    /// The mount cannot be opened, or the kernel refused.
    #[error("{call}({mounted_at:?})")]
    Call {
        /// Which system call.
        call: &'static str,
        /// The mount.
        mounted_at: PathBuf,
        /// What the kernel answered.
        source: Errno,
    },
    /// The kernel said yes, and the filesystem is still smaller.
    #[error(
        "{} has {filesystem_bytes} bytes after it was grown to {wanted_bytes}",
        mounted_at.display()
    )]
    Incomplete {
        /// The mount.
        mounted_at: PathBuf,
        /// Its size.
        filesystem_bytes: u64,
        /// What it was grown to.
        wanted_bytes: u64,
    },
}
