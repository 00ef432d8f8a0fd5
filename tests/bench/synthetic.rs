//! Synthetic trees of sysfs: any number of controllers, each as a real kernel lays one out.
//!
//! The mould is `controller.tree`, taken from a capture. Every controller has a subsystem, a namespace, an address and
//! an identity of its own, so that neither program finds two that it could put together.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use kernel_lab::tree::{Entry, Tree};
use tempfile::TempDir;

/// The sizes that every benchmark runs on.
pub(crate) const SIZES: [u32; 4] = [16, 256, 1024, 4096];

/// One controller, with its number and what depends on it in braces.
const MOULD: &str = include_str!("controller.tree");
/// What there is once.
const COMMON: &str = "sys/module/nvme_core/parameters/multipath\tY\\n\n";

/// Where Linux has a file system in memory for everybody: sysfs is in memory too.
const MEMORY: &str = "/dev/shm";
/// What a small file costs there: a page, and the kernel's records of it.
const BYTES_PER_ENTRY: u64 = 4096 + 1024;

/// A directory with a `sys` in it; removed when the value goes away.
#[derive(Debug)]
pub(crate) struct Synthetic {
    root: TempDir,
    controllers: u32,
}

impl Synthetic {
    /// Writes a tree of so many controllers, into memory where there is room.
    pub(crate) fn new(controllers: u32) -> io::Result<Self> {
        let root = tempfile::Builder::new()
            .prefix("nvmeof-bench-")
            .tempdir_in(place(controllers))?;
        write(root.path(), COMMON)?;
        for number in 0..controllers {
            write(root.path(), &controller(number))?;
        }
        Ok(Self { root, controllers })
    }

    /// The directory that stands for `/`.
    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// The NQN of the subsystem that a scan meets last.
    pub(crate) fn last_nqn(&self) -> String {
        nqn(self.controllers - 1)
    }
}

fn place(controllers: u32) -> PathBuf {
    let entries = u64::try_from(MOULD.lines().count()).expect("the mould is a short file");
    let entries = entries * u64::from(controllers);
    let has_room = rustix::fs::statvfs(MEMORY).is_ok_and(|room| {
        room.f_bavail * room.f_frsize > entries * BYTES_PER_ENTRY && room.f_favail > entries
    });
    match has_room {
        true => MEMORY.into(),
        false => std::env::temp_dir(),
    }
}

fn nqn(number: u32) -> String {
    format!("nqn.2026-01.org.example:volume-{number}")
}

fn controller(number: u32) -> String {
    let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 1, 0, 0)) + number);
    [
        ("{n}", number.to_string()),
        ("{nqn}", nqn(number)),
        ("{address}", address.to_string()),
        ("{uuid}", format!("11111111-1111-4111-8111-{number:012x}")),
        // The field of the Identify data that the kernel prints has 20 characters.
        ("{serial}", format!("{number:<20}")),
    ]
    .iter()
    .fold(MOULD.to_owned(), |text, (word, value)| {
        text.replace(word, value)
    })
}

fn write(root: &Path, text: &str) -> io::Result<()> {
    let tree = Tree::parse(text).map_err(io::Error::other)?;
    for (path, entry) in tree.entries {
        let path = root.join(path);
        let parent = path.parent().expect("a path joined to a root has a parent");
        fs::create_dir_all(parent)?;
        match entry {
            Entry::Directory => fs::create_dir_all(&path)?,
            Entry::Link(target) => symlink(target, &path)?,
            Entry::File { value, .. } => fs::write(&path, value)?,
        }
    }
    Ok(())
}
