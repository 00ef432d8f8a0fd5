//! Who uses a stale mount: a mount of the same device at a place that is not ours, in any mount
//! namespace that can be seen. Open files are found by the plain unmount, which the kernel refuses.
//!
//! Invariant: what cannot be looked at is an error; nothing of the mount itself is asked.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use nvme_sysfs::DevT;
use thiserror::Error;

use crate::host::mountinfo::{MountTable, ParseMountinfoError};
use crate::host::processes::{Process, read_mount_namespace, read_mountinfo, read_processes};
use crate::host::requirements::{Status, check_processes};

/// Somebody who uses a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum User {
    /// A process, or another of its mount namespace, sees it at a place that is not ours.
    Mounted {
        /// The process.
        process: Process,
        /// Where.
        path: PathBuf,
    },
    /// The kernel says that files of it are open.
    Unseen(PathBuf),
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            User::Mounted { process, path } => {
                write!(f, "{process} has it at {}", path.display())
            }
            User::Unseen(path) => write!(f, "files below {} are open", path.display()),
        }
    }
}

/// Why it cannot be told who uses a mount.
#[derive(Debug, Error)]
pub enum InUseError {
    /// The mounts of pods are out of sight.
    #[error("{0}")]
    Hidden(String),
    /// The processes cannot be listed.
    #[error("cannot list the processes")]
    Processes(#[source] io::Error),
    /// The mounts of one cannot be read.
    #[error("cannot read the mounts of {process}")]
    Read {
        /// The process.
        process: Process,
        /// Why.
        source: io::Error,
    },
    /// They cannot be understood.
    #[error("cannot understand the mounts of {process}")]
    Parse {
        /// The process.
        process: Process,
        /// Why.
        source: ParseMountinfoError,
    },
}

/// The first user of a mount of one of `devices` elsewhere than at `places`.
pub(super) fn find_user(
    root: &Path,
    devices: &[DevT],
    places: &[PathBuf],
) -> Result<Option<User>, InUseError> {
    let sight = check_processes(root);
    if sight.status == Status::Fail {
        let remedy = sight.what_to_do.unwrap_or_default();
        return Err(InUseError::Hidden(format!("{}; {remedy}", sight.finding)));
    }
    let mut seen = BTreeSet::new();
    for process in read_processes(root).map_err(InUseError::Processes)? {
        let namespace = read_mount_namespace(root, process.pid);
        if namespace.is_some_and(|namespace| !seen.insert(namespace)) {
            continue;
        }
        let text = match read_mountinfo(root, process.pid) {
            Ok(Some(text)) => text,
            Ok(None) => continue,
            Err(source) => return Err(InUseError::Read { process, source }),
        };
        let table = MountTable::parse(&text).map_err(|source| InUseError::Parse {
            process: process.clone(),
            source,
        })?;
        let elsewhere = table
            .iter()
            .find(|mount| devices.contains(&mount.dev) && !places.contains(&mount.mount_point));
        if let Some(mount) = elsewhere {
            let path = mount.mount_point.clone();
            return Ok(Some(User::Mounted { process, path }));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn process(root: &Path, pid: u32, namespace: &str, mounts: &str) {
        let directory = root.join("proc").join(pid.to_string());
        fs::create_dir_all(directory.join("ns")).expect("a directory");
        fs::write(directory.join("comm"), "app\n").expect("a file");
        symlink(namespace, directory.join("ns/mnt")).expect("a link");
        fs::write(directory.join("mountinfo"), mounts).expect("a file");
    }

    fn user(root: &Path) -> Option<User> {
        let device = "259:1".parse().expect("a number");
        find_user(root, &[device], &["/stage".into()]).expect("readable")
    }

    #[test]
    fn our_own_place_seen_from_anywhere_is_no_use() {
        let root = tempfile::tempdir().expect("a directory");
        let ours = "1 0 259:1 / /stage rw - ext4 /dev/nvme0n1 rw\n";
        process(root.path(), 1, "mnt:[1]", ours);
        process(root.path(), 7, "mnt:[2]", ours);
        assert_eq!(user(root.path()), None);
    }

    #[test]
    fn a_mount_of_a_container_is_a_use() {
        let root = tempfile::tempdir().expect("a directory");
        let theirs = "1 0 259:1 / /data rw - ext4 /dev/nvme0n1 rw\n";
        process(
            root.path(),
            1,
            "mnt:[1]",
            "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n",
        );
        process(root.path(), 7, "mnt:[2]", theirs);
        let found = user(root.path()).expect("a use");
        assert_eq!(found.to_string(), "app (pid 7) has it at /data");
    }

    #[test]
    fn without_the_processes_of_the_host_nothing_is_known() {
        let root = tempfile::tempdir().expect("a directory");
        process(root.path(), 1, "mnt:[1]", "");
        symlink("1", root.path().join("proc/self")).expect("a link");
        let namespace = root.path().join("proc/1/ns/pid");
        symlink("pid:[4026532000]", &namespace).expect("a link");
        let error = find_user(root.path(), &[], &[]).expect_err("a container of its own");
        assert!(error.to_string().contains("hostPID"), "{error}");
        fs::remove_file(&namespace).expect("removed");
        symlink("pid:[4026531836]", &namespace).expect("a link");
        assert_eq!(user(root.path()), None);
    }

    #[test]
    fn mounts_that_make_no_sense_are_an_error() {
        let root = tempfile::tempdir().expect("a directory");
        process(root.path(), 1, "mnt:[1]", "1 0\n");
        find_user(root.path(), &[], &[]).expect_err("half a line");
    }
}
