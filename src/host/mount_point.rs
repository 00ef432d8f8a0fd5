//! The directory or file on which something is mounted.
//!
//! Invariant: only the last component of a path is ever made or removed, and only when it is empty;
//! the kernel refuses both `rmdir` and `unlink` of a mount point.

use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Statx, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use thiserror::Error;

/// What something is mounted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountPoint {
    /// For filesystems.
    Directory,
    /// For device nodes.
    File,
}

/// Since when a mount point is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// This call made it.
    Now,
    /// It was there already.
    Before,
}

/// Why a mount point was not made or removed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MountPointError {
    /// Something is mounted on it.
    #[error("{} is still a mount point", path.display())]
    Mounted {
        /// The path.
        path: PathBuf,
    },
    /// A directory with entries, or a file with contents.
    #[error("{} is not empty", path.display())]
    NotEmpty {
        /// The path.
        path: PathBuf,
    },
    /// Something else is there.
    #[error("{} is {found}, which nothing is mounted on here", path.display())]
    WrongKind {
        /// The path.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// A system call failed.
    #[error("{call}({path:?})")]
    Call {
        /// Which.
        call: &'static str,
        /// The path.
        path: PathBuf,
        /// What the kernel answered.
        source: Errno,
    },
}

/// Makes the mount point at `path`, unless it is there already.
///
/// # Errors
/// [`MountPointError`]; the parent must exist.
pub(crate) fn make(path: &Path, kind: MountPoint) -> Result<Made, MountPointError> {
    let (call, made) = match kind {
        // kubelet's own directories have this mode.
        MountPoint::Directory => ("mkdir", rustix::fs::mkdir(path, Mode::from_raw_mode(0o750))),
        MountPoint::File => ("open", create_file(path)),
    };
    match made {
        Ok(()) => Ok(Made::Now),
        Err(Errno::EXIST) => check_kind(path, kind).map(|()| Made::Before),
        Err(source) => Err(failed(call, path, source)),
    }
}

fn create_file(path: &Path) -> Result<(), Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::from_raw_mode(0o600)).map(drop)
}

fn check_kind(path: &Path, kind: MountPoint) -> Result<(), MountPointError> {
    let stat = look_at(path).map_err(|source| failed("statx", path, source))?;
    let fits = match (kind, file_type(&stat)) {
        (MountPoint::Directory, FileType::Directory) => true,
        // A mounted device node covers the file.
        (MountPoint::File, FileType::RegularFile | FileType::BlockDevice) => true,
        _ => false,
    };
    if fits {
        Ok(())
    } else {
        Err(wrong_kind(path, &stat))
    }
}

/// Removes the mount point at `path`. Nothing there is a success.
///
/// # Errors
/// [`MountPointError`].
pub(crate) fn remove(path: &Path) -> Result<(), MountPointError> {
    let stat = match look_at(path) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(()),
        Err(source) => return Err(failed("statx", path, source)),
    };
    if stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
        return Err(mounted(path));
    }
    let (call, removed) = match file_type(&stat) {
        FileType::Directory => ("rmdir", rustix::fs::rmdir(path)),
        FileType::RegularFile if stat.stx_size == 0 => ("unlink", rustix::fs::unlink(path)),
        FileType::RegularFile => return Err(not_empty(path)),
        _ => return Err(wrong_kind(path, &stat)),
    };
    match removed {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::NOTEMPTY) => Err(not_empty(path)),
        Err(Errno::BUSY) => Err(mounted(path)),
        Err(source) => Err(failed(call, path, source)),
    }
}

/// What is at the path itself, asked of the caches only: whatever is mounted there may be dead.
fn look_at(path: &Path) -> Result<Statx, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    rustix::fs::statx(CWD, path, flags, StatxFlags::TYPE | StatxFlags::SIZE)
}

fn file_type(stat: &Statx) -> FileType {
    FileType::from_raw_mode(stat.stx_mode.into())
}

fn mounted(path: &Path) -> MountPointError {
    let path = path.to_owned();
    MountPointError::Mounted { path }
}

fn not_empty(path: &Path) -> MountPointError {
    let path = path.to_owned();
    MountPointError::NotEmpty { path }
}

fn wrong_kind(path: &Path, stat: &Statx) -> MountPointError {
    let found = match file_type(stat) {
        FileType::Directory => "a directory",
        FileType::RegularFile => "a file",
        FileType::Symlink => "a symbolic link",
        FileType::BlockDevice => "a block device",
        _ => "a special file",
    };
    let path = path.to_owned();
    MountPointError::WrongKind { path, found }
}

fn failed(call: &'static str, path: &Path, source: Errno) -> MountPointError {
    let path = path.to_owned();
    MountPointError::Call { call, path, source }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn both_kinds_are_made_twice_and_removed_twice() {
        let directory = tempfile::tempdir().expect("temporary directory");
        for kind in [MountPoint::Directory, MountPoint::File] {
            let path = directory.path().join("target");
            for since in [Made::Now, Made::Before] {
                assert_eq!(make(&path, kind).expect("made"), since);
                assert_eq!(path.is_dir(), kind == MountPoint::Directory);
            }
            for _ in 0..2 {
                remove(&path).expect("removed");
                assert!(!path.exists());
            }
        }
    }

    #[test]
    fn a_missing_parent_is_not_made() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("pod/target");
        for kind in [MountPoint::Directory, MountPoint::File] {
            let error = make(&path, kind).expect_err("no parent");
            assert!(matches!(error, MountPointError::Call { .. }), "{error}");
        }
        assert!(!directory.path().join("pod").exists());
    }

    #[test]
    fn what_holds_something_stays() {
        let directory = tempfile::tempdir().expect("temporary directory");
        fs::write(directory.path().join("data"), "of a user").expect("file");
        for path in [directory.path().to_owned(), directory.path().join("data")] {
            let error = remove(&path).expect_err("not empty");
            assert!(matches!(error, MountPointError::NotEmpty { .. }), "{error}");
        }
        assert_eq!(
            fs::read(directory.path().join("data")).expect("still there"),
            b"of a user"
        );
    }

    #[test]
    fn a_mount_point_is_not_removed() {
        let error = remove(Path::new("/proc")).expect_err("a mount");
        assert!(matches!(error, MountPointError::Mounted { .. }), "{error}");
    }

    #[test]
    fn a_symbolic_link_is_neither_followed_nor_removed() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let link = directory.path().join("link");
        symlink(directory.path(), &link).expect("link");
        for result in [
            make(&link, MountPoint::Directory).map(drop),
            make(&link, MountPoint::File).map(drop),
            remove(&link),
        ] {
            let error = result.expect_err("a link").to_string();
            assert!(error.contains("is a symbolic link"), "{error}");
        }
    }

    #[test]
    fn the_other_kind_is_not_taken() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let error = make(directory.path(), MountPoint::File).expect_err("a directory");
        assert!(
            matches!(error, MountPointError::WrongKind { .. }),
            "{error}"
        );
    }
}
