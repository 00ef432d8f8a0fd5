//! How much of the page cache may be dirty pages of one disk: `/sys/class/bdi/MAJ:MIN/max_ratio`, in percent of what
//! may be dirty at all, and `strict_limit` (since 6.2), by which that holds at any time and not only when memory is
//! short (Documentation/ABI/testing/sysfs-class-bdi, mm/page-writeback.c).
//!
//! Dirty pages of a map without a path are written by nobody: without a limit they take all that may be dirty, and
//! every writer of the node waits behind them.

use std::io::ErrorKind;
use std::path::Path;

use nvme_sysfs::DevT;

use super::attribute::{AttributeError, write};

/// Of what may be dirty, in percent.
const SHARE: &str = "5";

/// See [`crate::host::Host::limit_dirty`].
pub(crate) fn limit_dirty(root: &Path, disk: DevT) -> Result<(), AttributeError> {
    let directory = root.join("sys/class/bdi").join(disk.to_string());
    write(&directory.join("max_ratio"), SHARE)?;
    match write(&directory.join("strict_limit"), "1") {
        // An older kernel.
        Err(error) if error.source.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
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
