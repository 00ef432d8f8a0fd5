//! The processes that can be seen: `/proc/PID`, their mount tables and their open files.
//!
//! Format: `proc_pid(5)`. Invariants: a process that ends while it is read is skipped; a file of it
//! that may not be read is an error for the caller to count; nothing here asks a filesystem
//! anything, because the file behind a descriptor may lie on a mount whose device is dead.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nvme_sysfs::DevT;
use rustix::fs::{AtFlags, CWD, FileType, StatxFlags};

use crate::host::attribute::{is_gone, there};

/// A process, named as an administrator would look for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its number in the PID namespace of this program.
    pub pid: u32,
    /// Its `comm`: at most 15 bytes of the program's name.
    pub name: String,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// What a file descriptor refers to, as far as block devices go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenFile {
    /// A block device node, by the number of its device.
    BlockDevice(DevT),
    /// A character device node, by the number of its device.
    CharacterDevice(DevT),
    /// A path that cannot be looked at from here, for example in a captured tree: the text of the
    /// link is all there is.
    Link(PathBuf),
    /// It cannot be looked at.
    Unknown(io::ErrorKind),
}

/// The processes below `root`, in order of their numbers.
///
/// # Errors
/// When `/proc` itself cannot be listed.
pub fn read_processes(root: &Path) -> io::Result<Vec<Process>> {
    let mut processes = BTreeSet::new();
    for entry in fs::read_dir(root.join("proc"))? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let comm = fs::read(directory(root, pid).join("comm")).unwrap_or_default();
        let name = String::from_utf8_lossy(&comm).trim_end().to_owned();
        processes.insert(Process { pid, name });
    }
    Ok(processes.into_iter().collect())
}

/// The mount table of a process, or `None` when it has ended.
///
/// A process that has ended and whose parent has not asked for its status keeps its directory, and
/// its mount table answers EINVAL (`mounts_open_common` in fs/proc_namespace.c): in a container
/// whose first process reaps nobody it does so for ever.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn read_mountinfo(root: &Path, pid: u32) -> io::Result<Option<Vec<u8>>> {
    match fs::read(directory(root, pid).join("mountinfo")) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(None),
        result => there(result),
    }
}

/// Which mount namespace a process lives in (`mnt:[4026531841]`), or `None` when that cannot be
/// told.
pub fn read_mount_namespace(root: &Path, pid: u32) -> Option<OsString> {
    let link = fs::read_link(directory(root, pid).join("ns/mnt")).ok()?;
    Some(link.into_os_string())
}

/// The devices among the open files of a process, and the files that may be one.
///
/// # Errors
/// When its descriptors are there and cannot be read.
pub fn read_open_files(root: &Path, pid: u32) -> io::Result<Vec<OpenFile>> {
    let Some(descriptors) = there(fs::read_dir(directory(root, pid).join("fd")))? else {
        return Ok(Vec::new());
    };
    let mut files = Vec::new();
    for descriptor in descriptors {
        let Some(descriptor) = there(descriptor)? else {
            continue;
        };
        match read_descriptor(&descriptor.path()) {
            Ok(file) => files.extend(file),
            Err(error) => files.push(OpenFile::Unknown(error.kind())),
        }
    }
    Ok(files)
}

fn read_descriptor(descriptor: &Path) -> io::Result<Option<OpenFile>> {
    let Some(target) = there(fs::read_link(descriptor))? else {
        return Ok(None);
    };
    // Sockets, pipes and the like read as "socket:[123]".
    if !target.is_absolute() {
        return Ok(None);
    }
    // DONT_SYNC: the answer comes from what the kernel has cached, so that a file on a dead network
    // mount cannot block this.
    let flags = AtFlags::STATX_DONT_SYNC;
    match rustix::fs::statx(CWD, descriptor, flags, StatxFlags::TYPE) {
        Ok(stat) => {
            let dev = DevT {
                major: stat.stx_rdev_major,
                minor: stat.stx_rdev_minor,
            };
            Ok(match FileType::from_raw_mode(stat.stx_mode.into()) {
                FileType::BlockDevice => Some(OpenFile::BlockDevice(dev)),
                FileType::CharacterDevice => Some(OpenFile::CharacterDevice(dev)),
                _ => None,
            })
        }
        Err(errno) if is_gone(&errno.into()) => Ok(Some(OpenFile::Link(target))),
        Err(errno) => Err(errno.into()),
    }
}

fn directory(root: &Path, pid: u32) -> PathBuf {
    root.join("proc").join(pid.to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::process::{WaitId, WaitIdOptions};

    use super::*;

    fn process(root: &Path, pid: u32) -> PathBuf {
        let directory = directory(root, pid);
        fs::create_dir_all(directory.join("fd")).expect("directory");
        fs::write(directory.join("comm"), "fio\n").expect("comm");
        directory
    }

    #[test]
    fn only_numbered_directories_are_processes() {
        let root = tempfile::tempdir().expect("temporary directory");
        process(root.path(), 7);
        fs::create_dir(root.path().join("proc/sys")).expect("directory");
        let processes = read_processes(root.path()).expect("readable");
        assert_eq!(processes.len(), 1);
        assert_eq!(processes[0].to_string(), "fio (pid 7)");
    }

    #[test]
    fn a_descriptor_that_leads_nowhere_is_known_by_its_link() {
        let root = tempfile::tempdir().expect("temporary directory");
        let directory = process(root.path(), 7);
        let node = root.path().join("dev/nvme0n1");
        symlink(&node, directory.join("fd/3")).expect("link");
        symlink("socket:[1]", directory.join("fd/4")).expect("link");
        symlink(directory.join("comm"), directory.join("fd/5")).expect("link");
        let files = read_open_files(root.path(), 7).expect("readable");
        assert_eq!(files, [OpenFile::Link(node)]);
    }

    #[test]
    fn a_character_device_is_known_by_its_number() {
        let root = tempfile::tempdir().expect("temporary directory");
        let directory = process(root.path(), 7);
        symlink("/dev/null", directory.join("fd/3")).expect("link");
        let files = read_open_files(root.path(), 7).expect("readable");
        // Documentation/admin-guide/devices.txt
        let (major, minor) = (1, 3);
        assert_eq!(files, [OpenFile::CharacterDevice(DevT { major, minor })]);
    }

    #[test]
    fn a_descriptor_that_cannot_be_read_hides_no_other() {
        let root = tempfile::tempdir().expect("temporary directory");
        let directory = process(root.path(), 7);
        let node = root.path().join("dev/nvme0n1");
        fs::write(directory.join("fd/3"), "no link").expect("file");
        symlink(&node, directory.join("fd/4")).expect("link");
        let files = read_open_files(root.path(), 7).expect("readable");
        assert_eq!(files.len(), 2, "{files:?}");
        assert!(files.contains(&OpenFile::Link(node)), "{files:?}");
        assert!(
            files.contains(&OpenFile::Unknown(io::ErrorKind::InvalidInput)),
            "{files:?}"
        );
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "not the product's")]
    fn a_process_that_nobody_reaps_has_nothing() {
        let mut child = std::process::Command::new("true")
            .spawn()
            .expect("a process");
        // Waits for its end and leaves it unreaped.
        let pid = rustix::process::Pid::from_child(&child);
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        rustix::process::waitid(WaitId::Pid(pid), options).expect("its end");
        let root = Path::new("/");
        assert_eq!(read_mountinfo(root, child.id()).expect("gone"), None);
        assert_eq!(read_open_files(root, child.id()).expect("gone"), []);
        child.wait().expect("its status");
    }

    #[test]
    fn a_process_that_has_ended_has_nothing() {
        let root = tempfile::tempdir().expect("temporary directory");
        assert_eq!(read_mountinfo(root.path(), 7).expect("gone"), None);
        assert_eq!(read_open_files(root.path(), 7).expect("gone"), []);
    }
}
