//! Debian packages of any suite, without touching the machine's own apt configuration.
//!
//! Everything apt writes lies in a directory of ours; only the mirror's address comes from the machine.
//! Works for any user: nothing is installed.

mod archives;
mod depends;
mod mirror;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use archives::Archive;
pub use mirror::MirrorError;

use crate::command::{self, CommandError, find_program};
use crate::place;
use crate::suite::Suite;

/// Debian's own archive keys (package debian-archive-keyring, on every Debian).
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// So many times the size of its archives is what packages need at most, themselves included.
const UNPACKED: u64 = 6;
const MEGABYTE: u64 = 1_000_000;
/// How often it is told how much was downloaded.
const TELL: Duration = Duration::from_secs(5);

/// Why packages could not be had.
#[derive(Debug, thiserror::Error)]
pub enum AptError {
    /// This is no Debian.
    #[error(
        "apt is not installed, and the lab takes kernels and programs from Debian's packages: use a Debian, or give \
         ready kernels by LAB_KERNEL_DIR"
    )]
    NoApt,
    /// The mirror does not answer, or not with what was asked for.
    #[error(
        "cannot read the package lists of {mirror}: see to the network, and run the same command again"
    )]
    Lists {
        /// The mirror's address.
        mirror: String,
        /// What apt said.
        source: CommandError,
    },
    /// The packages did not come, or not as they should be.
    #[error(
        "cannot download the packages: run the same command again, which keeps what has come so far"
    )]
    Download(#[source] CommandError),
    /// They would not fit.
    #[error(
        "{path} needs {needed_mb} MB and has {free_mb} MB free: make room, and run the same command again"
    )]
    NoSpace {
        /// A directory of the filesystem.
        path: PathBuf,
        /// What the packages need at most.
        needed_mb: u64,
        /// What is left.
        free_mb: u64,
    },
    /// The machine's sources name no Debian mirror.
    #[error("cannot find a Debian mirror")]
    Mirror(#[from] MirrorError),
    /// One of apt's or dpkg's programs failed.
    #[error("cannot get packages")]
    Command(#[from] CommandError),
    /// Our own files.
    #[error("cannot write {path}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// apt for one suite, with state of its own below `target/lab/apt/<suite>`.
#[derive(Debug)]
pub(crate) struct Apt {
    directory: PathBuf,
}

impl Apt {
    /// Writes the configuration and fetches the suite's package lists.
    pub(crate) fn update(suite: Suite) -> Result<Self, AptError> {
        find_program("apt-get").ok_or(AptError::NoApt)?;
        let mirror = mirror::find(Path::new("/etc/apt"))?;
        Self::of_mirror(suite, mirror, place::of("apt").join(suite.as_str()))
    }

    fn of_mirror(suite: Suite, mirror: String, directory: PathBuf) -> Result<Self, AptError> {
        for name in ["lists/partial", "archives/partial"] {
            create_dir(&directory.join(name))?;
        }
        let sources = format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n");
        write(&directory.join("sources.list"), &sources)?;
        write(&directory.join("status"), "")?;
        let apt = Self { directory };
        eprintln!("lab: {suite}: reading the package lists of {mirror}: some seconds");
        match command::show(apt.program("apt-get").arg("update")) {
            Ok(()) => Ok(apt),
            Err(source) => Err(AptError::Lists { mirror, source }),
        }
    }

    /// The packages that `root` needs, itself included, as far as `follow` accepts their names.
    pub(crate) fn closure(
        &self,
        root: &str,
        follow: fn(&str) -> bool,
    ) -> Result<BTreeSet<String>, AptError> {
        let mut found = BTreeSet::new();
        let mut open = vec![root.to_owned()];
        while let Some(package) = open.pop() {
            if found.insert(package.clone()) {
                open.extend(
                    self.depends(&package)?
                        .into_iter()
                        .filter(|name| follow(name)),
                );
            }
        }
        Ok(found)
    }

    /// Downloads packages and unpacks them into one directory, all of it without installing.
    ///
    /// What was downloaded lies below `target/lab/apt` until all of it is unpacked: an interrupted run is continued.
    pub(crate) fn unpack(&self, packages: &BTreeSet<String>, into: &Path) -> Result<(), AptError> {
        let name = into.file_name().expect("what is built has a name");
        let debs = self.directory.join("debs").join(name);
        create_dir(&debs)?;
        let archives = self.archives(packages)?;
        let size = archives.iter().map(|archive| archive.size).sum();
        check_space(into, size)?;
        archives::remove_damaged(&debs, &archives)?;
        self.download(packages, &debs, size)?;
        for Archive { file, .. } in &archives {
            let file = debs.join(file);
            command::show(Command::new("dpkg-deb").arg("-x").arg(&file).arg(into))?;
        }
        fs::remove_dir_all(&debs).map_err(at(&debs))
    }

    /// Downloads what is not in `debs` yet, and tells how far that is.
    fn download(
        &self,
        packages: &BTreeSet<String>,
        debs: &Path,
        size: u64,
    ) -> Result<(), AptError> {
        let mut told = archives::bytes_in(debs).map_err(at(debs))? / MEGABYTE;
        let (all, names) = (size.div_ceil(MEGABYTE), packages.len());
        eprintln!("lab: downloading {all} MB in {names} packages, of which {told} MB are here");
        let mut download = self.program("apt-get");
        download.arg("download").args(packages).current_dir(debs);
        let mut tell = || {
            // Only a word of progress: what is wrong with the directory, apt tells.
            let here = archives::bytes_in(debs).map_or(told, |bytes| bytes / MEGABYTE);
            if here != told {
                eprintln!("lab: downloaded {here} of {all} MB");
                told = here;
            }
        };
        command::show_and(&mut download, TELL, &mut tell).map_err(AptError::Download)
    }

    fn depends(&self, package: &str) -> Result<Vec<String>, AptError> {
        let mut show = self.program("apt-cache");
        show.args(["show", "--no-all-versions", package]);
        Ok(depends::parse_depends(&String::from_utf8_lossy(
            &command::output(&mut show)?,
        )))
    }

    fn archives(&self, packages: &BTreeSet<String>) -> Result<Vec<Archive>, AptError> {
        let mut uris = self.program("apt-get");
        uris.args(["--print-uris", "download"]).args(packages);
        let text = command::output(&mut uris)?;
        Ok(Archive::parse(&String::from_utf8_lossy(&text)))
    }

    /// An apt program that sees our directory only. The empty status file hides what this machine has installed;
    /// the sandbox user could not read a private directory.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.arg("-q");
        for (option, file) in [
            ("Dir::Etc::sourcelist", "sources.list"),
            ("Dir::State::Lists", "lists"),
            ("Dir::State::status", "status"),
            ("Dir::Cache", "."),
        ] {
            command
                .arg("-o")
                .arg(format!("{option}={}", self.directory.join(file).display()));
        }
        for option in [
            "Dir::Etc::sourceparts=/dev/null",
            "APT::Sandbox::User=root",
            // A mirror that does not answer is an error, not a warning.
            "APT::Update::Error-Mode=any",
            "Acquire::Languages=none",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
        ] {
            command.arg("-o").arg(option);
        }
        command
    }
}

fn check_space(path: &Path, archives: u64) -> Result<(), AptError> {
    let filesystem = rustix::fs::statvfs(path).map_err(|errno| at(path)(errno.into()))?;
    let free_mb = filesystem.f_bavail * filesystem.f_frsize / MEGABYTE;
    let needed_mb = (archives * UNPACKED).div_ceil(MEGABYTE);
    if free_mb >= needed_mb {
        return Ok(());
    }
    let path = path.to_owned();
    Err(AptError::NoSpace {
        path,
        needed_mb,
        free_mb,
    })
}

fn create_dir(path: &Path) -> Result<(), AptError> {
    fs::create_dir_all(path).map_err(at(path))
}

fn write(path: &Path, text: &str) -> Result<(), AptError> {
    fs::write(path, text).map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> AptError {
    let path = path.to_owned();
    move |source| AptError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_that_would_not_fit_are_refused_before_they_are_downloaded() {
        let directory = tempfile::TempDir::new().expect("a directory");
        check_space(directory.path(), 1).expect("six bytes fit");
        let error = check_space(directory.path(), 1 << 60).expect_err("an exabyte does not");
        let text = error.to_string();
        assert!(text.contains("MB free: make room"), "{text}");
    }

    #[test]
    fn a_mirror_that_does_not_answer_is_an_error_with_the_remedy() {
        let directory = tempfile::TempDir::new().expect("a directory");
        // Nothing listens on the port that is reserved for nothing.
        let mirror = "http://127.0.0.1:1/debian".to_owned();
        let error = Apt::of_mirror(Suite::Trixie, mirror, directory.path().join("trixie"))
            .expect_err("no mirror");
        let text = error.to_string();
        assert!(
            text.contains("127.0.0.1:1/debian: see to the network"),
            "{text}"
        );
    }
}
