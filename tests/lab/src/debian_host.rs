//! The part of a Debian host that deals with disks, for a guest: udev, LVM, md and multipath of trixie, with the rules
//! and the configuration of their packages, unpacked and not installed.
//!
//! In the guest it is a root directory of its own, so that its C library does not meet the one of the machine's programs.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::apt::Apt;
use crate::command;
use crate::initramfs::{Content, GuestFile};
use crate::peers::{PeerError, is_library};
use crate::place;
use crate::programs::parse_ldd;
use crate::store;
use crate::suite::Suite;

/// What is asked for; the libraries come with them.
const PACKAGES: [&str; 7] = [
    "udev",
    "lvm2",
    "dmsetup",
    "mdadm",
    "multipath-tools",
    "util-linux",
    "coreutils",
];
const PROGRAMS: [&str; 8] = [
    "usr/bin/lsblk",
    "usr/bin/sync",
    "usr/bin/udevadm",
    "usr/sbin/dmsetup",
    "usr/sbin/lvm",
    "usr/sbin/mdadm",
    "usr/sbin/multipath",
    "usr/sbin/multipathd",
];
/// Loaded by multipath when it runs, and so in no list of libraries.
const PLUGINS: &str = "usr/lib/multipath";
/// The rules about disks; of the others some need programs and users that are not there.
const RULES: [&str; 12] = [
    "55-dm",
    "56-dm-mpath",
    "56-lvm",
    "60-block",
    "60-multipath",
    "60-persistent-storage",
    "60-persistent-storage-dm",
    "63-md-raid-arrays",
    "64-md-raid-assembly",
    "69-lvm",
    "95-dm-notify",
    "99-z-dm-mpath-late",
];
const CONFIGURATION: &str = "etc/lvm/lvm.conf";
/// Where programs look for the loader, and where its package has it.
const LOADER: &str = "usr/lib64/ld-linux-x86-64.so.2";
const LOADER_FILE: &str = "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2";
/// Of the C library, of systemd, and of multipath.
const LIBRARIES: [&str; 3] = [
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu/systemd",
    "usr/lib",
];
/// Names at the top of a Debian that lead below `usr`, and the name of the daemon.
const LINKS: [(&str, &str); 5] = [
    ("bin", "usr/bin"),
    ("sbin", "usr/sbin"),
    ("lib", "usr/lib"),
    ("lib64", "usr/lib64"),
    ("usr/lib/systemd/systemd-udevd", "../../bin/udevadm"),
];

/// The unpacked packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebianHost {
    directory: PathBuf,
}

/// Why they cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The loader did not list the libraries of a program.
    #[error("cannot list the libraries of {program}")]
    Libraries {
        /// The program, as its package has it.
        program: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What multipath loads is not there.
    #[error("cannot list {directory}")]
    Plugins {
        /// Its directory.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Another one for other packages: what was downloaded before lacks them.
fn directory() -> PathBuf {
    let mut hasher = DefaultHasher::new();
    PACKAGES.hash(&mut hasher);
    let name = format!("debian-host-{:016x}", hasher.finish());
    place::of("peers").join(name)
}

impl DebianHost {
    /// The packages, if they were downloaded.
    ///
    /// # Errors
    /// [`PeerError::Missing`] with the command that helps.
    pub fn find() -> Result<Self, PeerError> {
        let directory = directory();
        match directory.is_dir() {
            true => Ok(Self { directory }),
            false => Err(PeerError::Missing { directory }),
        }
    }

    /// The packages, downloaded first where they are not there yet.
    ///
    /// # Errors
    /// [`PeerError`], naming the step that failed.
    pub fn get() -> Result<Self, PeerError> {
        let directory = directory();
        store::build_once(&directory, |partial| {
            let apt = Apt::update(Suite::Trixie)?;
            let mut packages = BTreeSet::new();
            for package in PACKAGES {
                packages.append(&mut apt.closure(package, is_library)?);
            }
            apt.unpack(&packages, partial).map_err(PeerError::from)
        })?;
        Ok(Self { directory })
    }

    /// Its files, below a root directory in the guest.
    ///
    /// # Errors
    /// [`PackError`], naming the program.
    pub fn guest_files(&self, root: &str) -> Result<Vec<GuestFile>, PackError> {
        let mut programs: BTreeSet<PathBuf> = PROGRAMS.map(PathBuf::from).into();
        programs.extend(self.plugins()?);
        for program in PROGRAMS {
            let libraries = self.libraries(program);
            programs.extend(libraries.map_err(|source| PackError::Libraries { program, source })?);
        }
        let below = |path: &Path| Path::new(root).join(path).to_string_lossy().into_owned();
        let program =
            |path: &Path, file: &Path| GuestFile::program(below(path), self.directory.join(file));
        let mut files: Vec<GuestFile> = programs.iter().map(|file| program(file, file)).collect();
        files.push(program(LOADER.as_ref(), LOADER_FILE.as_ref()));
        let rules = RULES.map(|name| format!("usr/lib/udev/rules.d/{name}.rules"));
        let texts = rules.into_iter().chain([CONFIGURATION.to_owned()]);
        files.extend(texts.map(|file| GuestFile {
            path: below(file.as_ref()),
            mode: 0o644,
            content: Content::Host(self.directory.join(file)),
        }));
        files.extend(LINKS.map(|(path, target)| GuestFile {
            path: below(path.as_ref()),
            mode: 0o777,
            content: Content::Link(target.to_owned()),
        }));
        Ok(files)
    }

    fn plugins(&self) -> Result<Vec<PathBuf>, PackError> {
        let directory = self.directory.join(PLUGINS);
        let entries = fs::read_dir(&directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let entries = entries.map_err(|source| PackError::Plugins { directory, source })?;
        let names = entries.iter().map(fs::DirEntry::file_name);
        Ok(names.map(|name| Path::new(PLUGINS).join(name)).collect())
    }

    /// The libraries that a program needs, below the directory.
    fn libraries(
        &self,
        program: &str,
    ) -> Result<Vec<PathBuf>, Box<dyn std::error::Error + Send + Sync>> {
        let path = LIBRARIES.map(|name| self.directory.join(name).to_string_lossy().into_owned());
        let mut list = Command::new(self.directory.join(LOADER_FILE));
        list.args(["--library-path", &path.join(":"), "--list"])
            .arg(self.directory.join(program));
        let text = command::output(&mut list)?;
        let files = parse_ldd(program.as_ref(), &String::from_utf8_lossy(&text))?;
        let ours = files
            .iter()
            .filter_map(|file| file.strip_prefix(&self.directory).ok());
        Ok(ours.map(Path::to_owned).collect())
    }
}
