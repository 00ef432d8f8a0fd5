//! What the kernel itself has open: files and devices behind loop devices, and behind the
//! namespaces that this machine exports by nvmet.
//!
//! Sources: `/sys/block/loopN/loop/backing_file`, which is there while the loop device is set up;
//! `/sys/kernel/config/nvmet/subsystems/NQN/namespaces/NSID` with `device_path` and `enable`. Both
//! drivers open a device without claiming it (drivers/block/loop.c,
//! drivers/nvme/target/io-cmd-bdev.c), so neither `holders/` nor an exclusive open knows of them.
//!
//! Invariant: no path outside of `/dev` is asked for anything: it may lie on a dead mount.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::host::attribute::{self, AttributeError};

/// Who in the kernel has something open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Opener {
    /// A loop device, by its kernel name.
    Loop(String),
    /// A namespace that nvmet exports.
    Export {
        /// Its subsystem.
        subsystem: String,
        /// Its number there.
        namespace: String,
    },
}

impl fmt::Display for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Opener::Loop(name) => write!(f, "the loop device {name}"),
            Opener::Export {
                subsystem,
                namespace,
            } => write!(f, "nvmet, as namespace {namespace} of {subsystem}"),
        }
    }
}

/// A file or device that the kernel has open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backing {
    /// Who has it open.
    pub opener: Opener,
    /// Its path: of a loop device as the kernel sees the open file now, of an export as it was
    /// given; a link in `/dev` is followed.
    pub path: PathBuf,
}

/// What is behind the loop devices of this machine.
///
/// # Errors
/// When the block devices, or what is behind one, cannot be read.
pub fn read_loops(root: &Path) -> Result<Vec<Backing>, AttributeError> {
    let block = root.join("sys/block");
    let mut found = Vec::new();
    for name in attribute::names(&block)? {
        if !name.starts_with("loop") {
            continue;
        }
        if let Some(path) = read_path(&block.join(&name).join("loop/backing_file"))? {
            let opener = Opener::Loop(name);
            found.push(Backing { opener, path });
        }
    }
    Ok(found)
}

/// What is behind the namespaces that this machine exports.
///
/// # Errors
/// When nvmet's configuration is there and cannot be read.
pub fn read_exports(root: &Path) -> Result<Vec<Backing>, AttributeError> {
    let subsystems = root.join("sys/kernel/config/nvmet/subsystems");
    let mut found = Vec::new();
    for subsystem in attribute::names(&subsystems)? {
        let namespaces = subsystems.join(&subsystem).join("namespaces");
        for namespace in attribute::names(&namespaces)? {
            let directory = namespaces.join(&namespace);
            if read_path(&directory.join("enable"))?.as_deref() != Some(Path::new("1")) {
                continue;
            }
            if let Some(path) = read_path(&directory.join("device_path"))? {
                let opener = Opener::Export {
                    subsystem: subsystem.clone(),
                    namespace,
                };
                let path = follow(root, path);
                found.push(Backing { opener, path });
            }
        }
    }
    Ok(found)
}

/// Where a link in `/dev` leads, by name: udev's links lead straight to a node in `/dev`.
fn follow(root: &Path, path: PathBuf) -> PathBuf {
    let Ok(below) = path.strip_prefix("/dev") else {
        return path;
    };
    let target = fs::read_link(root.join("dev").join(below)).ok();
    let name = target.as_deref().and_then(Path::file_name);
    match name {
        Some(name) => Path::new("/dev").join(name),
        None => path,
    }
}

/// A path in an attribute, without the line break; `None` if the attribute is not there.
fn read_path(path: &Path) -> Result<Option<PathBuf>, AttributeError> {
    let bytes = attribute::read_bytes(path)?;
    Ok(bytes.map(|mut bytes| {
        bytes.pop_if(|last| *last == b'\n');
        PathBuf::from(OsString::from_vec(bytes))
    }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("a file");
    }

    #[test]
    fn a_loop_device_that_is_not_set_up_has_nothing_behind_it() {
        let root = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(read_loops(root.path()).expect("no devices"), []);
        write(
            root.path(),
            "sys/block/loop0/loop/backing_file",
            "/dev/nvme0n1\n",
        );
        write(root.path(), "sys/block/loop1/dev", "7:1\n");
        let loops = read_loops(root.path()).expect("readable");
        let opener = Opener::Loop("loop0".to_owned());
        let path = PathBuf::from("/dev/nvme0n1");
        assert_eq!(loops, [Backing { opener, path }]);
    }

    #[test]
    fn an_enabled_export_is_known_by_the_node_that_its_link_leads_to() {
        let root = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(read_exports(root.path()).expect("no nvmet"), []);
        let namespaces = "sys/kernel/config/nvmet/subsystems/nqn.a/namespaces";
        for (number, enable) in [("1", "1\n"), ("2", "0\n")] {
            let below = format!("{namespaces}/{number}");
            write(root.path(), &format!("{below}/enable"), enable);
            write(
                root.path(),
                &format!("{below}/device_path"),
                "/dev/disk/by-id/a\n",
            );
        }
        fs::create_dir_all(root.path().join("dev/disk/by-id")).expect("a directory");
        symlink("../../nvme0n1", root.path().join("dev/disk/by-id/a")).expect("a link");
        let exports = read_exports(root.path()).expect("readable");
        let [export] = exports.as_slice() else {
            panic!("{exports:?}");
        };
        assert_eq!(export.path, Path::new("/dev/nvme0n1"));
        assert_eq!(export.opener.to_string(), "nvmet, as namespace 1 of nqn.a");
    }
}
