//! Who uses a disk: mounts, swap, devices stacked on it, open files, exclusive owners.
//!
//! Sources: `/proc/PID/mountinfo` of every mount namespace that can be seen, `/proc/swaps`,
//! `holders/`, `/proc/PID/fd`, what is behind loop devices and nvmet's exports, and an exclusive open of the node, which the kernel refuses with
//! EBUSY while a mount, a holder or swap anywhere owns the device, seen or not.
//!
//! Invariant: "nobody" is said only together with what could not be looked at ([`Usage::gaps`]).

mod error;
mod find;
mod kind;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nvme_sysfs::{DevT, Namespace};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::host::attribute::is_gone;
use crate::host::backing::{Backing, read_exports, read_loops};
use crate::host::block::{self, BlockDevice};
use crate::host::mountinfo::MountTable;
use crate::host::processes::{self, Process};
use crate::host::swap;
pub use error::UsageError;
use find::{
    find_holders, find_mounts, find_open, find_opened, find_opened_where_bound, find_swap,
    find_unknown,
};
pub use kind::{Gap, Use};

/// What is known about the use of a disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// Every use that was found, in a fixed order, each once.
    pub uses: Vec<Use>,
    /// What could not be looked at.
    pub gaps: Vec<Gap>,
}

/// How far a look for uses goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Only at what the kernel tells of others: safe for a disk that may be dead.
    Visible,
    /// Where nothing is visible, the disk is opened exclusively, which finds hidden owners and may
    /// block while no path to it is usable.
    Exclusive,
}

/// Looks for every use of the disk called `name` and of its partitions.
///
/// The exclusive open comes last, and only when nothing else was found: it is the one step that
/// touches the device.
///
/// # Errors
/// [`UsageError`], when a whole class of uses cannot be looked at.
pub fn read_usage(root: &Path, name: &str, look: Look) -> Result<Usage, UsageError> {
    let devices = block::read_disk(root, name).map_err(|source| UsageError::Disk {
        name: name.to_owned(),
        source,
    })?;
    if devices.is_empty() {
        return Err(UsageError::NoDisk {
            name: name.to_owned(),
        });
    }
    let mut found = Search {
        devices: &devices,
        uses: find_holders(&devices).collect(),
        backings: Vec::new(),
        gaps: Vec::new(),
    };
    found.read_backings(root);
    found.uses.extend(find_swap(&devices, &read_swaps(root)?));
    found.read_processes(root)?;
    if found.uses.is_empty() && look == Look::Exclusive {
        found.try_exclusive_open(root);
    }
    Ok(Usage {
        uses: found.uses.into_iter().collect(),
        gaps: found.gaps,
    })
}

/// The first use of any of these disks, for people. What cannot be looked at counts as one.
///
/// # Errors
/// As [`read_usage`]; a disk that is gone is in no use.
pub fn find_any_use<'a>(
    root: &Path,
    disks: impl Iterator<Item = &'a Namespace>,
    look: Look,
) -> Result<Option<String>, UsageError> {
    for disk in disks {
        let name = &disk.name;
        let usage = match read_usage(root, name, look) {
            Ok(usage) => usage,
            Err(UsageError::NoDisk { .. }) => continue,
            Err(error) => return Err(error),
        };
        let used = usage.uses.first().map(ToString::to_string);
        let unseen = || {
            let gap = usage.gaps.first()?;
            Some(format!(
                "{name} may be in use, for nobody can look at {gap}"
            ))
        };
        if let Some(used) = used.or_else(unseen) {
            return Ok(Some(used));
        }
    }
    Ok(None)
}

struct Search<'a> {
    devices: &'a [BlockDevice],
    uses: BTreeSet<Use>,
    backings: Vec<Backing>,
    gaps: Vec<Gap>,
}

impl Search<'_> {
    fn read_backings(&mut self, root: &Path) {
        match read_loops(root) {
            Ok(loops) => self.backings.extend(loops),
            Err(error) => self.gaps.push(Gap::Loops(error.source.kind())),
        }
        match read_exports(root) {
            Ok(exports) => self.backings.extend(exports),
            Err(error) => self.gaps.push(Gap::Exports(error.source.kind())),
        }
        self.uses.extend(find_opened(self.devices, &self.backings));
    }

    fn read_processes(&mut self, root: &Path) -> Result<(), UsageError> {
        let list = processes::read_processes(root).map_err(|source| UsageError::Processes {
            root: root.to_owned(),
            source,
        })?;
        if !sees_all_processes(root) {
            self.gaps.push(Gap::Namespace);
        }
        let mut namespaces = BTreeSet::new();
        for process in &list {
            let namespace = processes::read_mount_namespace(root, process.pid);
            if namespace.is_none_or(|namespace| namespaces.insert(namespace)) {
                self.read_mounts(root, process)?;
            }
            self.read_open_files(root, process);
        }
        Ok(())
    }

    fn read_mounts(&mut self, root: &Path, process: &Process) -> Result<(), UsageError> {
        match processes::read_mountinfo(root, process.pid) {
            Ok(None) => {}
            Ok(Some(text)) => {
                let table = MountTable::parse(&text).map_err(|source| UsageError::Mounts {
                    process: process.clone(),
                    source,
                })?;
                self.uses.extend(find_mounts(self.devices, &table, process));
                let bound = find_opened_where_bound(self.devices, &self.backings, &table);
                self.uses.extend(bound);
            }
            Err(error) => self.gaps.push(Gap::Mounts(process.clone(), error.kind())),
        }
        Ok(())
    }

    fn read_open_files(&mut self, root: &Path, process: &Process) {
        let gap = |kind| Gap::OpenFiles(process.clone(), kind);
        match processes::read_open_files(root, process.pid) {
            Ok(files) => {
                self.gaps.extend(find_unknown(&files).map(gap));
                self.uses.extend(find_open(self.devices, &files, process));
            }
            Err(error) => self.gaps.push(gap(error.kind())),
        }
    }

    fn try_exclusive_open(&mut self, root: &Path) {
        for device in self.devices {
            let node = root.join("dev").join(&device.name);
            match open_exclusively(&node, device.dev) {
                Ok(()) => {}
                Err(Errno::BUSY) => {
                    self.uses.insert(Use::Owned {
                        device: device.name.clone(),
                    });
                }
                Err(errno) => self
                    .gaps
                    .push(Gap::Node(node, io::Error::from(errno).kind())),
            }
        }
    }
}

/// The number of the initial PID namespace's inode, fixed in the kernel (`PROC_PID_INIT_INO`,
/// include/linux/proc_ns.h).
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";

fn sees_all_processes(root: &Path) -> bool {
    fs::read_link(root.join("proc/self/ns/pid"))
        .is_ok_and(|link| link == Path::new(INITIAL_PID_NAMESPACE))
}

fn read_swaps(root: &Path) -> Result<Vec<PathBuf>, UsageError> {
    let path = root.join("proc/swaps");
    match fs::read(&path) {
        Ok(text) => Ok(swap::parse_swap_devices(&text)),
        // A kernel without CONFIG_SWAP has no such file.
        Err(error) if is_gone(&error) => Ok(Vec::new()),
        Err(source) => Err(UsageError::Swaps { path, source }),
    }
}

/// Asks the kernel whether anybody owns the device. The node is looked at first: only the very
/// device in question is opened.
fn open_exclusively(node: &Path, dev: DevT) -> Result<(), Errno> {
    let stat = rustix::fs::lstat(node)?;
    let found = DevT {
        major: rustix::fs::major(stat.st_rdev),
        minor: rustix::fs::minor(stat.st_rdev),
    };
    if !FileType::from_raw_mode(stat.st_mode).is_block_device() || found != dev {
        return Err(Errno::NXIO);
    }
    let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, node, flags, Mode::empty()).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A machine with one disk, 259:0, with one partition, 259:1, and process 1.
    fn machine() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("temporary directory");
        let disk = root.path().join("sys/block/nvme0n1");
        write(&disk.join("dev"), "259:0\n");
        write(&disk.join("nvme0n1p1/dev"), "259:1\n");
        write(&disk.join("nvme0n1p1/partition"), "1\n");
        fs::create_dir(disk.join("holders")).expect("directory");
        process(root.path(), 1, "systemd", "mnt:[1]");
        fs::create_dir_all(root.path().join("proc/self/ns")).expect("directory");
        symlink(INITIAL_PID_NAMESPACE, root.path().join("proc/self/ns/pid")).expect("link");
        root
    }

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().expect("a parent")).expect("directory");
        fs::write(path, text).expect("file");
    }

    fn process(root: &Path, pid: u32, name: &str, namespace: &str) -> PathBuf {
        let directory = root.join("proc").join(pid.to_string());
        write(&directory.join("comm"), &format!("{name}\n"));
        write(
            &directory.join("mountinfo"),
            "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n",
        );
        fs::create_dir_all(directory.join("fd")).expect("directory");
        fs::create_dir_all(directory.join("ns")).expect("directory");
        symlink(namespace, directory.join("ns/mnt")).expect("link");
        directory
    }

    fn uses(root: &Path) -> Vec<String> {
        let usage = read_usage(root, "nvme0n1", Look::Exclusive).expect("readable");
        usage.uses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_mount_in_any_mount_namespace_is_a_use_of_its_partition() {
        let root = machine();
        let pod = process(root.path(), 70, "nginx", "mnt:[2]");
        write(
            &pod.join("mountinfo"),
            "9 1 259:1 / /my\\040data rw - ext4 /dev/nvme0n1p1 rw\n",
        );
        process(root.path(), 71, "nginx", "mnt:[2]");
        assert_eq!(
            uses(root.path()),
            ["nvme0n1p1 is mounted at /my data, seen by nginx (pid 70)"]
        );
    }

    #[test]
    fn a_filesystem_with_an_anonymous_device_number_is_known_by_its_source() {
        let root = machine();
        let table =
            "9 1 0:50 / /b rw - btrfs /dev/nvme0n1 rw\n10 1 0:51 / /t rw - tmpfs nvme0n1 rw\n";
        write(&root.path().join("proc/1/mountinfo"), table);
        assert_eq!(
            uses(root.path()),
            ["nvme0n1 is mounted at /b, seen by systemd (pid 1)"]
        );
    }

    #[test]
    fn holders_swap_and_open_files_are_uses() {
        let root = machine();
        write(&root.path().join("sys/block/nvme0n1/holders/dm-0"), "");
        let swaps = "Filename Type Size Used Priority\n/dev/nvme0n1p1 partition 1 0 -2\n";
        write(&root.path().join("proc/swaps"), swaps);
        symlink("/nowhere/dev/nvme0n1", root.path().join("proc/1/fd/3")).expect("link");
        assert_eq!(
            uses(root.path()),
            [
                "nvme0n1 is held by dm-0",
                "nvme0n1p1 is swap space",
                "nvme0n1 is open in systemd (pid 1)"
            ]
        );
    }

    #[test]
    fn what_the_kernel_and_its_generic_device_have_open_is_a_use() {
        let root = machine();
        let write = |path: &str, text: &str| write(&root.path().join(path), text);
        write("sys/block/loop0/loop/backing_file", "/dev/nvme0n1p1\n");
        write("sys/block/loop1/loop/backing_file", "/pods/7/block\n");
        let bound = "9 1 0:5 /nvme0n1 /pods/7/block rw - devtmpfs udev rw\n";
        write("proc/1/mountinfo", bound);
        let export = "sys/kernel/config/nvmet/subsystems/nqn.a/namespaces/3";
        write(&format!("{export}/enable"), "1\n");
        write(&format!("{export}/device_path"), "/dev/nvme0n1\n");
        write("sys/class/nvme-generic/ng0n1/dev", "244:0\n");
        symlink("/nowhere/dev/ng0n1", root.path().join("proc/1/fd/3")).expect("link");
        assert_eq!(
            uses(root.path()),
            [
                "nvme0n1 is open in the loop device loop1",
                "nvme0n1 is open in nvmet, as namespace 3 of nqn.a",
                "nvme0n1p1 is open in the loop device loop0",
                "ng0n1 is open in systemd (pid 1)",
            ]
        );
    }

    #[test]
    fn what_could_not_be_looked_at_is_said() {
        let root = machine();
        fs::remove_file(root.path().join("proc/self/ns/pid")).expect("link");
        let usage = read_usage(root.path(), "nvme0n1", Look::Exclusive).expect("readable");
        assert_eq!(usage.uses, []);
        let gaps: Vec<_> = usage.gaps.iter().map(ToString::to_string).collect();
        assert_eq!(gaps[0], "processes outside this PID namespace");
        assert!(
            gaps[1].ends_with("dev/nvme0n1: entity not found"),
            "{gaps:?}"
        );
    }

    #[test]
    fn a_node_that_is_not_the_disks_is_not_opened() {
        let root = machine();
        write(&root.path().join("dev/nvme0n1"), "");
        let node = root.path().join("dev/nvme0n1");
        assert_eq!(
            open_exclusively(
                &node,
                DevT {
                    major: 259,
                    minor: 0
                }
            ),
            Err(Errno::NXIO)
        );
    }

    #[test]
    fn a_mount_table_that_makes_no_sense_is_an_error_and_not_no_use() {
        let root = machine();
        write(&root.path().join("proc/1/mountinfo"), "garbage\n");
        let error = read_usage(root.path(), "nvme0n1", Look::Exclusive).expect_err("garbage");
        assert_eq!(
            error.to_string(),
            "cannot understand the mounts of systemd (pid 1)"
        );
    }

    #[test]
    fn a_disk_that_is_not_there_is_not_called_unused() {
        let error =
            read_usage(machine().path(), "nvme9n1", Look::Exclusive).expect_err("no such disk");
        assert_eq!(error.to_string(), "there is no disk nvme9n1");
    }

    #[test]
    fn without_a_list_of_processes_nothing_can_be_said() {
        let root = machine();
        fs::rename(root.path().join("proc"), root.path().join("other")).expect("rename");
        let error = read_usage(root.path(), "nvme0n1", Look::Exclusive).expect_err("no /proc");
        assert!(matches!(error, UsageError::Processes { .. }), "{error}");
    }
}
