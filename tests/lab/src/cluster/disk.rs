//! The guest's root: a directory on the host that mke2fs makes a filesystem of.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::credentials::Credentials;
use super::peers::Peers;
use super::settings;
use crate::command::{self, CommandError};
use crate::kernels::Kernel;
use crate::kubernetes::Program;

/// Its size; what nobody writes to takes no space.
const SIZE: &str = "3G";
/// What is mounted on, or written to.
const DIRECTORIES: [&str; 17] = [
    "dev",
    "proc",
    "sys",
    "run",
    "tmp",
    "mnt",
    "root",
    "opt/cni/bin",
    "usr/local/bin",
    "etc/containerd",
    "etc/cni/net.d",
    "etc/lab",
    "var/lib/containerd",
    "var/lib/kubelet",
    "var/log/lab",
    "var/tmp",
    "usr/lib64",
];
/// Names at the top of a Debian that lead below `usr`, the loader by the name that programs know, and ours.
const LINKS: [(&str, &str); 6] = [
    ("bin", "usr/bin"),
    ("sbin", "usr/sbin"),
    ("lib", "usr/lib"),
    ("lib64", "usr/lib64"),
    (
        "usr/lib64/ld-linux-x86-64.so.2",
        "../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    ),
    ("opt/cni/bin/lab", "/init"),
];

/// Why there is no disk.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// A file cannot be copied or written.
    #[error("cannot copy or write {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// cp or mke2fs failed.
    #[error("cannot make the disk")]
    Command(#[from] CommandError),
}

/// What the disk holds besides the peers.
#[derive(Debug)]
pub struct Contents<'a> {
    /// Their programs.
    pub peers: &'a Peers,
    /// Whose modules are told to be built in.
    pub kernel: &'a Kernel,
    /// The guest's program.
    pub init: &'a Path,
    /// The product.
    pub product: &'a Path,
    /// Keys and tokens.
    pub credentials: &'a Credentials,
}

/// Where containerd's store lies below the directory.
#[must_use]
pub fn store(root: &Path) -> PathBuf {
    root.join("var/lib/containerd")
}

/// Fills the directory `root`, which must be empty.
///
/// # Errors
/// [`DiskError`] with the file that was not written.
pub fn fill(root: &Path, contents: &Contents<'_>) -> Result<(), DiskError> {
    let peers = contents.peers;
    let mut copy = Command::new("cp");
    copy.args(["--archive", "--no-target-directory"]);
    command::output(copy.arg(&peers.debian).arg(root))?;
    for directory in DIRECTORIES {
        let path = root.join(directory);
        fs::create_dir_all(&path).map_err(at(&path))?;
    }
    for (path, target) in LINKS {
        let path = root.join(path);
        if fs::symlink_metadata(&path).is_err() {
            symlink(target, &path).map_err(at(&path))?;
        }
    }
    let programs = root.join("usr/local/bin");
    for name in ["containerd", "containerd-shim-runc-v2", "ctr"] {
        copy_file(&peers.containerd.join(name), &programs.join(name))?;
    }
    let kubernetes = peers.kubernetes.file().map_err(at(&programs))?;
    copy_file(&kubernetes, &programs.join("kubernetes"))?;
    for program in Program::ALL {
        let link = programs.join(program.as_str());
        symlink("kubernetes", &link).map_err(at(&link))?;
    }
    copy_file(contents.product, &root.join(&settings::HOST_PROGRAM[1..]))?;
    copy_file(contents.init, &root.join(&settings::GUEST_PROGRAM[1..]))?;
    let modules = root.join("usr/lib/modules").join(&contents.kernel.release);
    fs::create_dir_all(&modules).map_err(at(&modules))?;
    let built_in = "modules.builtin";
    copy_file(
        &contents.kernel.modules.join(built_in),
        &modules.join(built_in),
    )?;
    for (path, text) in settings::files(contents.credentials) {
        let path = root.join(&path[1..]);
        fs::write(&path, text).map_err(at(&path))?;
    }
    Ok(())
}

/// Makes the filesystem. Without a journal: it lives only as long as the machine.
///
/// # Errors
/// [`DiskError::Command`] with what mke2fs says.
pub fn make(root: &Path, disk: &Path) -> Result<(), DiskError> {
    let program = command::find_program("mke2fs").unwrap_or_else(|| "mke2fs".into());
    let mut make = Command::new(program);
    make.args(["-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d"]);
    command::output(make.arg(root).arg(disk).arg(SIZE))?;
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> Result<(), DiskError> {
    fs::copy(from, to).map_err(at(from))?;
    Ok(())
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> DiskError {
    let path = path.to_owned();
    move |source| DiskError::Io { path, source }
}
