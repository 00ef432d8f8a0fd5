//! How much of the page cache may be dirty pages of one disk: `/sys/class/bdi/MAJ:MIN/max_ratio`, in percent of what
//! may be dirty at all, and `strict_limit` (since 6.2), by which that holds at any time and not only when memory is
//! short (Documentation/ABI/testing/sysfs-class-bdi, mm/page-writeback.c).
//!
//! Dirty pages of a map without a path are written by nobody: without a limit they take all that may be dirty, and
//! every writer of the node waits behind them.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use nvme_sysfs::DevT;
use thiserror::Error;

/// Of what may be dirty, in percent.
const SHARE: &str = "5";

/// Why a disk may still have as many dirty pages as any.
#[derive(Debug, Error)]
#[error("cannot write {value} to {}", path.display())]
pub struct BackingDeviceError {
    /// The attribute.
    pub path: PathBuf,
    /// What was written.
    pub value: &'static str,
    /// Why.
    pub source: io::Error,
}

/// See [`crate::host::Host::limit_dirty`].
pub(crate) fn limit_dirty(root: &Path, disk: DevT) -> Result<(), BackingDeviceError> {
    let directory = root.join("sys/class/bdi").join(disk.to_string());
    write(directory.join("max_ratio"), SHARE)?;
    match write(directory.join("strict_limit"), "1") {
        // An older kernel.
        Err(error) if error.source.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn write(path: PathBuf, value: &'static str) -> Result<(), BackingDeviceError> {
    let file = File::options().write(true).open(&path);
    let written = file.and_then(|mut file| file.write_all(value.as_bytes()));
    written.map_err(|source| BackingDeviceError {
        path,
        value,
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const DISK: DevT = DevT {
        major: 252,
        minor: 3,
    };

    #[test]
    fn a_disk_gets_a_small_share_and_a_strict_one_where_the_kernel_knows_that() {
        let root = tempfile::tempdir().expect("a directory");
        let directory = root.path().join("sys/class/bdi/252:3");
        let read = |name| fs::read_to_string(directory.join(name)).ok();
        fs::create_dir_all(&directory).expect("a directory");
        fs::write(directory.join("max_ratio"), "100").expect("an attribute");
        limit_dirty(root.path(), DISK).expect("written");
        assert!(read("max_ratio").is_some_and(|text| text.starts_with(SHARE)));
        assert_eq!(read("strict_limit"), None);
        fs::write(directory.join("strict_limit"), "0").expect("an attribute");
        limit_dirty(root.path(), DISK).expect("written");
        assert_eq!(read("strict_limit").as_deref(), Some("1"));
    }

    #[test]
    fn a_disk_that_is_not_there_is_told() {
        let root = tempfile::tempdir().expect("a directory");
        let error = limit_dirty(root.path(), DISK).expect_err("no disk");
        assert!(error.to_string().ends_with("252:3/max_ratio"), "{error}");
    }
}
