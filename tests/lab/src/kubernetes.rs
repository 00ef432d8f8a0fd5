//! The programs of a cluster of Kubernetes, etcd among them, built from the Go module at `tests/lab/kubernetes`.
//!
//! They are static, and run on the host as in a guest: whoever asks only the API server needs no guest.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::golang::{Go, GoError};
use crate::place;
use crate::store::{self, StoreError};

/// Pins every module; its go.sum says what they hold.
const MODULE: &str = include_str!("../kubernetes/go.mod");
const MAIN: &str = include_str!("../kubernetes/main.go");
/// Where a program of Kubernetes keeps the version that it tells; without it that is v0.0.0.
const VERSION_PACKAGE: &str = "k8s.io/component-base/version";
/// The one program that is all of them, by the name under which it is started.
const PROGRAM: &str = "kubernetes";

/// A name under which the program is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The store behind the API server.
    Etcd,
    /// The API server.
    ApiServer,
    /// What makes pods of sets, binds volumes and has them attached.
    ControllerManager,
    /// What chooses a node for a pod.
    Scheduler,
    /// What runs pods on a node.
    Kubelet,
    /// The client for people, with kustomize.
    Kubectl,
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Etcd,
        Self::ApiServer,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Kubelet,
        Self::Kubectl,
    ];

    /// Its name, by which `tests/lab/kubernetes/main.go` tells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
            Self::Kubectl => "kubectl",
        }
    }
}

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

    /// The programs, built first where they are not there yet: that takes about a quarter of an hour.
    ///
    /// # Errors
    /// [`GoError`], naming the step that failed.
    pub fn get() -> Result<Self, GoError> {
        let directory = directory();
        store::build_once(&directory, |partial| {
            let module = place::workspace().join("tests/lab/kubernetes");
            Go::get()?.build(&module, ".", &flags(), &partial.join(PROGRAM))?;
            for program in Program::ALL {
                let link = partial.join(program.as_str());
                symlink(PROGRAM, &link).map_err(|source| StoreError { path: link, source })?;
            }
            Ok::<_, GoError>(())
        })?;
        Ok(Self { directory })
    }

    /// The file to start a program by.
    #[must_use]
    pub fn path(&self, program: Program) -> PathBuf {
        self.directory.join(program.as_str())
    }

    /// The one file behind all names.
    ///
    /// # Errors
    /// When it was removed.
    pub fn file(&self) -> std::io::Result<PathBuf> {
        fs::canonicalize(self.directory.join(PROGRAM))
    }
}

/// What was built from other sources lies beside, so that a change of them is enough.
fn directory() -> PathBuf {
    let mut hasher = DefaultHasher::new();
    (MODULE, MAIN).hash(&mut hasher);
    let sources = hasher.finish();
    place::of("peers").join(format!("{PROGRAM}-{}-{sources:016x}", version()))
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

    #[test]
    fn the_source_knows_every_name() {
        for program in Program::ALL {
            let case = format!("case \"{}\":", program.as_str());
            assert!(MAIN.contains(&case), "{case}");
        }
    }
}
