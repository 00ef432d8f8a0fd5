//! A Go toolchain, for peers that only exist as Go modules: the conformance suite, the published protocol and the
//! programs of a cluster of Kubernetes.
//!
//! The product needs none of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::apt::{Apt, AptError};
use crate::command::{self, CommandError, find_program};
use crate::place;
use crate::store::{self, StoreError};
use crate::suite::Suite;

/// The oldest minor release of Go 1 that builds the peers.
const OLDEST: u32 = 26;

/// A toolchain that is new enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Go {
    program: PathBuf,
}

/// Why there is no Go, or why it gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum GoError {
    /// Debian's packages could not be had.
    #[error("cannot get Debian's packages of Go")]
    Packages(#[from] AptError),
    /// Files of the lab.
    #[error("cannot keep the packages")]
    Store(#[from] StoreError),
    /// The toolchain failed.
    #[error("cannot build or fetch a Go module")]
    Go(#[from] CommandError),
    /// The unpacked packages hold no toolchain.
    #[error("no Go in {directory}")]
    NoToolchain {
        /// Where it was looked for.
        directory: PathBuf,
    },
}

impl Go {
    /// The installed Go where it is new enough, else sid's, unpacked and not installed.
    ///
    /// # Errors
    /// [`GoError`], naming the step that failed.
    pub fn get() -> Result<Self, GoError> {
        if let Some(program) = find_program("go").filter(|program| is_new_enough(program)) {
            return Ok(Self { program });
        }
        let directory = place::of("peers").join("golang");
        store::build_once(&directory, |partial| {
            let apt = Apt::update(Suite::Sid)?;
            let packages = apt.closure("golang-go", |name| name.starts_with("golang-"))?;
            apt.unpack(&packages, partial).map_err(GoError::from)
        })?;
        let program = directory.join("usr/bin/go");
        match program.exists() {
            true => Ok(Self { program }),
            false => Err(GoError::NoToolchain { directory }),
        }
    }

    /// Builds a program of a module, `path/cmd/name@version`, as one static file in `directory`; `tags` say what it is
    /// built without.
    ///
    /// # Errors
    /// [`GoError::Go`] with what Go says.
    pub fn install(&self, package: &str, tags: &str, directory: &Path) -> Result<(), GoError> {
        eprintln!("lab: building {package}: a minute or more, once");
        let mut command = Command::new(&self.program);
        command.args(["install", "-trimpath", "-ldflags", "-s -w", "-tags", tags]);
        command
            .arg(package)
            .env("CGO_ENABLED", "0")
            .env("GOBIN", directory);
        Ok(command::show(&mut command)?)
    }

    /// Builds a package of a module of ours, or one that it requires, as one static file.
    ///
    /// # Errors
    /// [`GoError::Go`] with what Go says.
    pub fn build(
        &self,
        module: &Path,
        package: &str,
        flags: &str,
        program: &Path,
    ) -> Result<(), GoError> {
        eprintln!(
            "lab: building {package} of {}: minutes, once (Kubernetes: a quarter of an hour)",
            module.display()
        );
        let mut command = Command::new(&self.program);
        command.arg("-C").arg(module);
        // The commit would make each of ours another program.
        command.args(["build", "-trimpath", "-buildvcs=false", "-ldflags"]);
        command.arg(format!("-s -w {flags}")).arg("-o").arg(program);
        command.arg(package).env("CGO_ENABLED", "0");
        Ok(command::show(&mut command)?)
    }

    /// Fetches a module, `path@version`, and returns the directory in which Go keeps it.
    ///
    /// # Errors
    /// [`GoError::Go`] with what Go says.
    pub fn download(&self, module: &str) -> Result<PathBuf, GoError> {
        eprintln!("lab: fetching {module}");
        let mut download = Command::new(&self.program);
        command::show(download.args(["mod", "download", module]))?;
        let mut list = Command::new(&self.program);
        let directory = command::output(list.args(["list", "-m", "-f", "{{.Dir}}", module]))?;
        Ok(PathBuf::from(
            String::from_utf8_lossy(&directory).trim_end(),
        ))
    }
}

fn is_new_enough(program: &Path) -> bool {
    command::output(Command::new(program).arg("version"))
        .is_ok_and(|text| minor_release(&String::from_utf8_lossy(&text)) >= Some(OLDEST))
}

/// The 26 of `go version go1.26.8 linux/amd64`.
fn minor_release(text: &str) -> Option<u32> {
    let (_, version) = text.split_once("go1.")?;
    let digits = version.split(|character: char| !character.is_ascii_digit());
    digits.into_iter().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_read_from_gos_own_words() {
        assert_eq!(minor_release("go version go1.26.8 linux/amd64\n"), Some(26));
        assert_eq!(minor_release("go version go1.19 linux/amd64"), Some(19));
        assert_eq!(minor_release("go version devel"), None);
    }
}
