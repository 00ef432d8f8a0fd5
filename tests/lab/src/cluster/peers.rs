//! The programs of others that a cluster is made of.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::apt::{Apt, AptError};
use crate::golang::{Go, GoError};
use crate::kubernetes::Kubernetes;
use crate::peers::is_library;
use crate::place;
use crate::store::{self, StoreError};
use crate::suite::Suite;

/// containerd's programs. All are of one release.
const CONTAINERD: [&str; 3] = [
    "github.com/containerd/containerd/v2/cmd/containerd@v2.4.2",
    "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2@v2.4.2",
    "github.com/containerd/containerd/v2/cmd/ctr@v2.4.2",
];
/// What a guest has no use for, and what would need C.
const CONTAINERD_TAGS: &str = "no_btrfs,no_devmapper,no_zfs,no_tracing";
/// The attacher's program; `tests/lab/attacher` pins its release.
const ATTACHER: &str = "github.com/kubernetes-csi/external-attacher/v4/cmd/csi-attacher";
const ATTACHER_MODULE: &str = include_str!("../../attacher/go.mod");
/// Of Debian: runc, and what kubelet starts to mount and to hold block devices (mount, umount, losetup). Their libraries come
/// along; those of `mount` are named because it must have them before it is unpacked, which is no plain dependency.
const PACKAGES: [&str; 6] = [
    "runc",
    "mount",
    "libblkid1",
    "libmount1",
    "libselinux1",
    "libsmartcols1",
];

/// Where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peers {
    /// Kubernetes and etcd.
    pub kubernetes: Kubernetes,
    /// The directory of containerd's programs.
    pub containerd: PathBuf,
    /// The attacher's program.
    pub attacher: PathBuf,
    /// A root directory with Debian's programs and their libraries.
    pub debian: PathBuf,
}

/// Why they cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PeersError {
    /// A program could not be built.
    #[error("cannot build a program of a cluster")]
    Go(#[from] GoError),
    /// Debian's packages could not be had.
    #[error("cannot get the packages of a node")]
    Packages(#[from] AptError),
    /// Files of the lab.
    #[error("cannot keep the programs of a cluster")]
    Store(#[from] StoreError),
}

impl Peers {
    /// The programs, if all are there.
    #[must_use]
    pub fn find() -> Option<Self> {
        let peers = Self::at(Kubernetes::find()?);
        let there = [&peers.containerd, &peers.attacher, &peers.debian];
        there.iter().all(|path| path.exists()).then_some(peers)
    }

    /// The programs; what is not there is built or downloaded first.
    ///
    /// # Errors
    /// [`PeersError`], naming the step that failed.
    pub fn get() -> Result<Self, PeersError> {
        let peers = Self::at(Kubernetes::get()?);
        store::build_once(&peers.containerd, |partial| {
            let go = Go::get()?;
            CONTAINERD
                .iter()
                .try_for_each(|package| go.install(package, CONTAINERD_TAGS, partial))
        })?;
        let directory = peers
            .attacher
            .parent()
            .expect("the attacher has a directory");
        store::build_once(directory, |partial| {
            let module = place::workspace().join("tests/lab/attacher");
            let flags = format!("-X main.version={}", attacher_version());
            Go::get()?.build(&module, ATTACHER, &flags, &partial.join("csi-attacher"))
        })?;
        store::build_once(&peers.debian, unpack)?;
        Ok(peers)
    }

    fn at(kubernetes: Kubernetes) -> Self {
        let (_, release) = CONTAINERD[0].rsplit_once('@').expect("it is pinned");
        let attacher = format!("csi-attacher-{}", attacher_version());
        Self {
            kubernetes,
            containerd: place::of("peers").join(format!("containerd-{release}")),
            attacher: place::of("peers").join(attacher).join("csi-attacher"),
            debian: place::of("peers").join("node"),
        }
    }
}

fn unpack(partial: &Path) -> Result<(), PeersError> {
    let apt = Apt::update(Suite::Trixie)?;
    let mut packages = BTreeSet::new();
    for package in PACKAGES {
        packages.append(&mut apt.closure(package, is_library)?);
    }
    Ok(apt.unpack(&packages, partial)?)
}

/// The release that the module pins, as `v4.13.0`.
fn attacher_version() -> &'static str {
    let lines = ATTACHER_MODULE.lines().map(str::trim);
    let mut versions = lines
        .filter_map(|line| line.strip_prefix("github.com/kubernetes-csi/external-attacher/v4 "));
    let version = versions.next().expect("go.mod requires the attacher");
    version.trim_end_matches(" // indirect")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attachers_version_is_the_one_that_go_mod_requires() {
        assert!(attacher_version().starts_with("v4."));
        assert!(!attacher_version().contains(' '));
    }

    #[test]
    fn all_programs_of_containerd_are_of_one_release() {
        let releases: BTreeSet<_> = CONTAINERD
            .iter()
            .filter_map(|package| package.rsplit_once('@'))
            .map(|(_, release)| release)
            .collect();
        assert_eq!(releases.len(), 1, "{releases:?}");
    }
}
