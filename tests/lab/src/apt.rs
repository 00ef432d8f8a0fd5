//! Debian packages of any suite, without touching the machine's own apt configuration.
//!
//! Everything apt writes lies in a directory of ours; only the mirror's address comes from the machine.
//! Works for any user: nothing is installed.

mod depends;
mod mirror;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

pub use mirror::MirrorError;

use crate::command::{self, CommandError};
use crate::place;
use crate::suite::Suite;

/// Debian's own archive keys (package debian-archive-keyring, on every Debian).
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Why packages could not be had.
#[derive(Debug, thiserror::Error)]
pub enum AptError {
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
        let mirror = mirror::find(Path::new("/etc/apt"))?;
        let directory = place::of("apt").join(suite.as_str());
        for name in ["lists/partial", "archives/partial"] {
            create_dir(&directory.join(name))?;
        }
        let sources = format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n");
        write(&directory.join("sources.list"), &sources)?;
        write(&directory.join("status"), "")?;
        let apt = Self { directory };
        eprintln!("lab: {suite}: reading the package lists of {mirror}");
        command::show(apt.program("apt-get").arg("update"))?;
        Ok(apt)
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
    pub(crate) fn unpack(&self, packages: &BTreeSet<String>, into: &Path) -> Result<(), AptError> {
        let debs = into.join("debs");
        create_dir(&debs)?;
        let names = packages.iter().cloned().collect::<Vec<_>>();
        let size = self.download_size(&names)?;
        eprintln!(
            "lab: downloading {} MB: {}",
            size.div_ceil(1_000_000),
            names.join(" ")
        );
        command::show(
            self.program("apt-get")
                .arg("download")
                .args(&names)
                .current_dir(&debs),
        )?;
        let files = fs::read_dir(&debs).map_err(at(&debs))?;
        for file in files {
            let file = file.map_err(at(&debs))?.path();
            command::show(Command::new("dpkg-deb").arg("-x").arg(&file).arg(into))?;
            fs::remove_file(&file).map_err(at(&file))?;
        }
        fs::remove_dir(&debs).map_err(at(&debs))
    }

    fn depends(&self, package: &str) -> Result<Vec<String>, AptError> {
        let mut show = self.program("apt-cache");
        show.args(["show", "--no-all-versions", package]);
        Ok(depends::parse_depends(&String::from_utf8_lossy(
            &command::output(&mut show)?,
        )))
    }

    fn download_size(&self, packages: &[String]) -> Result<u64, AptError> {
        let mut uris = self.program("apt-get");
        uris.args(["--print-uris", "download"]).args(packages);
        Ok(depends::parse_download_size(&String::from_utf8_lossy(
            &command::output(&mut uris)?,
        )))
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
            "Acquire::Languages=none",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
        ] {
            command.arg("-o").arg(option);
        }
        command
    }
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
