//! Programs of others to compare with, from Debian packages that are unpacked and not installed.
//!
//! They run by the loader and libraries that came with them, so that the host's own do not matter.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::apt::{Apt, AptError};
use crate::initramfs::GuestFile;
use crate::place;
use crate::store::{self, StoreError};
use crate::suite::Suite;

/// Debian's directory of libraries and, in libc6, of the loader.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
const LOADER: &str = "ld-linux-x86-64.so.2";

/// An unpacked program with its libraries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    directory: PathBuf,
    program: &'static str,
}

/// Why a peer cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// It was not downloaded.
    #[error("{directory} is missing: run `cargo lab setup --peers`")]
    Missing {
        /// Where it would be.
        directory: PathBuf,
    },
    /// Its packages could not be had.
    #[error("cannot get the packages")]
    Packages(#[from] AptError),
    /// Files of the lab.
    #[error("cannot keep the packages")]
    Store(#[from] StoreError),
}

/// nvme-cli of trixie (2.13), if it was downloaded.
///
/// # Errors
/// [`PeerError::Missing`] with the command that helps.
pub fn find_nvme_cli() -> Result<Peer, PeerError> {
    let peer = Peer::nvme_cli_below(&place::of("peers"));
    match peer.directory.is_dir() {
        true => Ok(peer),
        false => Err(PeerError::Missing {
            directory: peer.directory,
        }),
    }
}

/// nvme-cli of trixie, downloaded first where it is not there yet.
///
/// # Errors
/// [`PeerError`], naming the step that failed.
pub fn get_nvme_cli() -> Result<Peer, PeerError> {
    let peer = Peer::nvme_cli_below(&place::of("peers"));
    store::build_once(&peer.directory, |partial| {
        let apt = Apt::update(Suite::Trixie)?;
        let packages: BTreeSet<_> = apt.closure("nvme-cli", is_library)?;
        apt.unpack(&packages, partial).map_err(PeerError::from)
    })?;
    Ok(peer)
}

/// What a program needs at run time; zlib is the one library of them whose package is not called `lib…`.
pub(crate) fn is_library(package: &str) -> bool {
    package.starts_with("lib") || package.starts_with("zlib")
}

impl Peer {
    /// nvme-cli as it lies below a directory of peers: the host's, or the guest's copy of it.
    #[must_use]
    pub fn nvme_cli_below(peers: &Path) -> Self {
        Self {
            directory: peers.join("nvme-cli"),
            program: "usr/sbin/nvme",
        }
    }

    /// The program's command, to be given its arguments.
    #[must_use]
    pub fn command(&self) -> Command {
        let libraries = self.directory.join(LIBRARIES);
        let mut command = Command::new(libraries.join(LOADER));
        command
            .arg("--library-path")
            .arg(&libraries)
            .arg(self.directory.join(self.program));
        command
    }

    /// The program, its loader and its libraries for a guest's directory of peers.
    ///
    /// # Errors
    /// The error of listing the libraries.
    pub fn guest_files(&self, peers: &str) -> io::Result<Vec<GuestFile>> {
        let mut files = vec![PathBuf::from(self.program)];
        for entry in fs::read_dir(self.directory.join(LIBRARIES))? {
            let entry = entry?;
            // Links are followed by copying: each library stands under the name that programs ask for.
            if entry.path().is_file() {
                files.push(Path::new(LIBRARIES).join(entry.file_name()));
            }
        }
        let name = self
            .directory
            .file_name()
            .expect("a peer's directory has a name");
        let below = Path::new(peers).join(name);
        let guest_file = |file: &PathBuf| {
            GuestFile::program(
                below.join(file).to_string_lossy(),
                self.directory.join(file),
            )
        };
        Ok(files.iter().map(guest_file).collect())
    }
}
