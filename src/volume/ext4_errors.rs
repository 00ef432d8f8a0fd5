//! Errors that the kernel has found in mounted filesystems: `/sys/fs/ext4/DISK/errors_count`.
//!
//! With `errors=remount-ro` the first one ends all writing. Linux 6.12 shows that nowhere else: the
//! mount table says neither `ro` nor `shutdown`. The count is kept in the superblock until e2fsck
//! has looked at everything, which comes before a mount for writing wherever there is one, so a count
//! beside such a mount is of that mount.
//!
//! Invariant: nothing of the filesystem is touched; the kernel answers from its memory.

use std::collections::HashMap;
use std::path::Path;

use super::mounts::error::ReadMountsError;
use crate::host::attribute::read;
use crate::host::mountinfo::{Mount, MountTable};

/// Notes at each mount whether its filesystem has errors.
pub(super) fn note_errors(root: &Path, table: &mut MountTable) -> Result<(), ReadMountsError> {
    // Publications are mounts of the same filesystem.
    let mut known = HashMap::new();
    for mount in table.iter_mut() {
        if mount.filesystem != "ext4" {
            continue;
        }
        mount.has_errors = match known.get(&mount.dev) {
            Some(has_errors) => *has_errors,
            None => has_errors(root, mount)?,
        };
        known.insert(mount.dev, mount.has_errors);
    }
    Ok(())
}

/// No such file is no count: a filesystem of others that was mounted by another name, or one that
/// has gone since the table was read.
fn has_errors(root: &Path, mount: &Mount) -> Result<bool, ReadMountsError> {
    let Some(disk) = mount.source.file_name() else {
        return Ok(false);
    };
    let path = root.join("sys/fs/ext4").join(disk).join("errors_count");
    Ok(read(&path)?.is_some_and(|count| count != "0"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const TABLE: &str = "40 1 253:0 / /a rw - ext4 /dev/dm-0 rw\n\
                         41 1 253:0 / /b rw - ext4 /dev/dm-0 rw\n\
                         42 1 253:1 / /c rw - ext4 /dev/dm-1 rw\n\
                         43 1 253:2 / /d rw - xfs /dev/dm-2 rw\n\
                         44 1 8:1 / /e rw - ext4 /dev/mapper/others rw\n";

    fn noted(counts: &[(&str, &str)]) -> Vec<bool> {
        let root = tempfile::tempdir().expect("a directory");
        for (disk, count) in counts {
            let directory = root.path().join("sys/fs/ext4").join(disk);
            fs::create_dir_all(&directory).expect("a directory");
            fs::write(directory.join("errors_count"), count).expect("a file");
        }
        let mut table = MountTable::parse(TABLE.as_bytes()).expect("a table");
        note_errors(root.path(), &mut table).expect("read");
        table.iter().map(|mount| mount.has_errors).collect()
    }

    #[test]
    fn every_mount_of_a_filesystem_with_errors_has_them() {
        let counts = [("dm-0", "1\n"), ("dm-1", "0\n"), ("dm-2", "7\n")];
        assert_eq!(noted(&counts), [true, true, false, false, false]);
    }

    #[test]
    fn a_filesystem_without_a_count_has_none() {
        assert_eq!(noted(&[]), [false; 5]);
    }

    #[test]
    fn a_count_that_cannot_be_read_is_not_taken_for_none() {
        let root = tempfile::tempdir().expect("a directory");
        let count = root.path().join("sys/fs/ext4/dm-0/errors_count");
        fs::create_dir_all(&count).expect("a directory in its place");
        let mut table = MountTable::parse(TABLE.as_bytes()).expect("a table");
        let error = note_errors(root.path(), &mut table).expect_err("no file");
        assert!(error.to_string().ends_with("errors_count"), "{error}");
    }
}
