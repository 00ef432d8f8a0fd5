//! etcd and the API server of Kubernetes, built from the Go module at `tests/lab/kubernetes`.
//!
//! They run on the host itself: whoever asks only the API server needs no guest.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::golang::{Go, GoError};
use crate::place;
use crate::store::{self, StoreError};

/// Pins every module; its go.sum says what they hold.
const MODULE: &str = include_str!("../kubernetes/go.mod");
/// Where a program of Kubernetes keeps the version that it tells; without it that is v0.0.0.
const VERSION_PACKAGE: &str = "k8s.io/component-base/version";
/// The one program, and the names that tell it what to be.
const PROGRAM: &str = "kubernetes";
const ETCD: &str = "etcd";
const API_SERVER: &str = "kube-apiserver";

/// The static programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kubernetes {
    directory: PathBuf,
}

impl Kubernetes {
    /// The programs, if they were built.
    #[must_use]
    pub fn find() -> Option<Self> {
        let directory = directory();
        directory.is_dir().then_some(Self { directory })
    }

    /// The programs, built first where they are not there yet: that takes about ten minutes.
    ///
    /// # Errors
    /// [`GoError`], naming the step that failed.
    pub fn get() -> Result<Self, GoError> {
        let directory = directory();
        store::build_once(&directory, |partial| {
            let module = place::workspace().join("tests/lab/kubernetes");
            Go::get()?.build(&module, &flags(), &partial.join(PROGRAM))?;
            for name in [ETCD, API_SERVER] {
                let link = partial.join(name);
                symlink(PROGRAM, &link).map_err(|source| StoreError { path: link, source })?;
            }
            Ok::<_, GoError>(())
        })?;
        Ok(Self { directory })
    }

    /// The program of etcd.
    #[must_use]
    pub fn etcd(&self) -> PathBuf {
        self.directory.join(ETCD)
    }

    /// The program of the API server.
    #[must_use]
    pub fn api_server(&self) -> PathBuf {
        self.directory.join(API_SERVER)
    }
}

/// A new release lies beside the old one, so that changing go.mod is enough.
fn directory() -> PathBuf {
    place::of("peers").join(format!("{PROGRAM}-{}", version()))
}

/// The release that go.mod pins, as `v1.37.2`.
fn version() -> &'static str {
    let lines = MODULE.lines().map(str::trim);
    let mut versions = lines.filter_map(|line| line.strip_prefix("k8s.io/kubernetes "));
    versions.next().expect("go.mod requires Kubernetes")
}

/// The linker's flags, which tell the program its version.
fn flags() -> String {
    let version = version();
    let mut numbers = version.trim_start_matches('v').split('.');
    let mut number = || numbers.next().expect("a version has three numbers");
    let (major, minor) = (number(), number());
    [
        format!("gitVersion={version}"),
        format!("gitMajor={major}"),
        format!("gitMinor={minor}"),
    ]
    .map(|value| format!("-X {VERSION_PACKAGE}.{value}"))
    .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_that_go_mod_requires() {
        assert!(MODULE.contains(&format!("k8s.io/kubernetes {}\n", version())));
        let (major, minor) = ("version.gitMajor=1 ", "version.gitMinor=");
        let flags = flags();
        assert!(
            flags.contains(major) && flags.contains(minor),
            "{flags} of {}",
            version()
        );
    }
}
