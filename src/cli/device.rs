//! The device of a namespace, as a verb hands it out.
//!
//! Invariant: a node is named only after it was compared with the kernel's number for that
//! namespace; a node that is not there at all is named too, because a container may see sysfs and
//! not the host's /dev.

use std::io;
use std::path::{Path, PathBuf};

use nvme_sysfs::{DevT, Namespace};
use rustix::fs::FileType;
use serde::Serialize;
use thiserror::Error;

/// A namespace with its device node, ready to be printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Device {
    /// Path of the node, below the root.
    pub device: PathBuf,
    /// `major:minor`.
    pub dev: Option<String>,
    /// Number of the namespace within its subsystem.
    pub nsid: Option<u32>,
    /// Its UUID.
    pub uuid: Option<String>,
    /// Its NGUID.
    pub nguid: Option<String>,
    /// Its EUI-64.
    pub eui64: Option<String>,
    /// Size in bytes.
    pub size_bytes: u64,
}

/// Why a node must not be handed out.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// It cannot be looked at.
    #[error("cannot look at {}", path.display())]
    Stat {
        /// The node.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// It is a file, a link or another kind of node.
    #[error("{} is not a block device", path.display())]
    NotBlock {
        /// The node.
        path: PathBuf,
    },
    /// It is the node of another device.
    #[error("{} is device {found}, but the namespace is device {expected}", path.display())]
    Other {
        /// The node.
        path: PathBuf,
        /// The node's number.
        found: DevT,
        /// The kernel's number for the namespace.
        expected: DevT,
    },
}

impl Device {
    /// Describes `namespace` and checks its node.
    pub(crate) fn of(root: &Path, namespace: &Namespace) -> Result<Device, DeviceError> {
        let path = root.join("dev").join(&namespace.name);
        check_node(&path, namespace.dev)?;
        let identity = &namespace.identity;
        Ok(Device {
            device: path,
            dev: namespace.dev.map(|dev| dev.to_string()),
            nsid: identity.nsid.map(|nsid| nsid.get()),
            uuid: identity.uuid.map(|uuid| uuid.to_string()),
            nguid: identity.nguid.map(|nguid| nguid.to_string()),
            eui64: identity.eui64.map(|eui64| eui64.to_string()),
            size_bytes: namespace.size_bytes,
        })
    }
}

fn check_node(path: &Path, expected: Option<DevT>) -> Result<(), DeviceError> {
    let stat = match rustix::fs::lstat(path) {
        Ok(stat) => stat,
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(errno) => {
            return Err(DeviceError::Stat {
                path: path.to_owned(),
                source: errno.into(),
            });
        }
    };
    let path = || path.to_owned();
    if !FileType::from_raw_mode(stat.st_mode).is_block_device() {
        return Err(DeviceError::NotBlock { path: path() });
    }
    let found = DevT {
        major: rustix::fs::major(stat.st_rdev),
        minor: rustix::fs::minor(stat.st_rdev),
    };
    match expected {
        Some(expected) if expected != found => Err(DeviceError::Other {
            path: path(),
            found,
            expected,
        }),
        _ => Ok(()),
    }
}

/// A size as people write it: three digits and a binary unit.
pub(crate) fn human_size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    // The unit is the largest that leaves a number of at least one; 64 bits have room for 6 steps
    // of 10 bits.
    let step = bytes.checked_ilog2().map_or(0, |bits| bits / 10);
    let unit = UNITS[usize::try_from(step).unwrap_or(0)];
    let scale = 1_u64 << (step * 10);
    let whole = bytes / scale;
    let tenth = (bytes % scale).saturating_mul(10) / scale;
    if whole >= 100 || tenth == 0 {
        format!("{whole} {unit}")
    } else {
        format!("{whole}.{tenth} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const DEV: DevT = DevT {
        major: 259,
        minor: 3,
    };

    #[test]
    fn a_node_that_is_absent_is_no_objection() {
        let root = tempfile::tempdir().expect("temporary directory");
        check_node(&root.path().join("nvme0n1"), Some(DEV)).expect("absent");
    }

    #[test]
    fn a_plain_file_under_the_name_of_a_device_is_refused() {
        let root = tempfile::tempdir().expect("temporary directory");
        let path = root.path().join("nvme0n1");
        fs::write(&path, "").expect("file");
        let error = check_node(&path, Some(DEV)).expect_err("not a device");
        assert!(matches!(error, DeviceError::NotBlock { .. }), "{error}");
    }

    #[test]
    fn sizes_have_a_unit_and_at_most_one_decimal() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (67_108_864, "64 MiB"),
            (1_610_612_736, "1.5 GiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(human_size(bytes), text);
        }
    }
}
