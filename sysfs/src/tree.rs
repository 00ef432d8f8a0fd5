//! The snapshot that a scan returns, and what is asked of it.
//!
//! Invariant: every question is answered from the snapshot alone; nothing here reads sysfs.

use std::fmt;

use crate::controller::Controller;
use crate::device::{DevT, Instance};
use crate::error::{ScanError, Unknown};
use crate::identity::{Eui64, NamespaceIdentity, Nguid, Nsid, Uuid};
use crate::namespace::{Namespace, NamespaceKind};
use crate::nqn::Nqn;
use crate::path::NamespacePath;
use crate::subsystem::Subsystem;

/// Everything NVMe on this host at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    /// Subsystems by number.
    pub subsystems: Vec<Subsystem>,
    /// Controllers that belong to no subsystem yet, by number: being made, or connecting for the first time.
    pub unattached: Vec<Controller>,
    /// The module parameter `nvme_core.multipath`; absent where the kernel has no multipath support.
    pub multipath: Option<bool>,
    /// What could not be read and is of none of them.
    pub unknown: Vec<Unknown>,
}

/// Which namespace of a subsystem is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NamespaceSelector {
    /// The only one; several are an error.
    Only,
    /// By number within the subsystem.
    Nsid(Nsid),
    /// By what the attribute `uuid` shows: the UUID, or for want of one the NGUID.
    Uuid(Uuid),
    /// By NGUID.
    Nguid(Nguid),
    /// By EUI-64.
    Eui64(Eui64),
}

/// More than one namespace is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("subsystem {nqn} has several namespaces that match: {}", joined(.candidates))]
pub struct AmbiguousNamespace {
    /// The subsystem asked for.
    pub nqn: Nqn,
    /// The disks.
    pub candidates: Vec<Candidate>,
}

/// Why it cannot be said which disk a namespace has.
#[derive(Debug, thiserror::Error)]
pub enum FindNamespaceError {
    /// Several match.
    #[error(transparent)]
    Ambiguous(#[from] AmbiguousNamespace),
    /// It may be one of which something could not be read.
    #[error(transparent)]
    Unknown(#[from] ScanError),
}

/// A disk that may be meant, with what tells it from the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Name of the disk.
    pub name: String,
    /// Its identifiers.
    pub identity: NamespaceIdentity,
}

impl Candidate {
    fn of(disk: &Namespace) -> Self {
        Self {
            name: disk.name.clone(),
            identity: disk.identity,
        }
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.name, self.identity)
    }
}

fn joined(candidates: &[Candidate]) -> String {
    let texts: Vec<String> = candidates.iter().map(Candidate::to_string).collect();
    texts.join(", ")
}

impl Tree {
    /// Every controller, those of subsystems first.
    pub fn controllers(&self) -> impl Iterator<Item = &Controller> {
        self.subsystems
            .iter()
            .flat_map(|subsystem| &subsystem.controllers)
            .chain(&self.unattached)
    }

    /// Every disk.
    pub fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        self.subsystems
            .iter()
            .flat_map(|subsystem| &subsystem.namespaces)
    }

    /// The controller with this number.
    #[must_use]
    pub fn find_controller(&self, instance: Instance) -> Option<&Controller> {
        self.controllers()
            .find(|controller| controller.instance == instance)
    }

    /// The subsystems of this name. Discovery subsystems share one name, others may do so while one of them goes away.
    pub fn find_subsystems(&self, nqn: &Nqn) -> impl Iterator<Item = &Subsystem> {
        self.subsystems
            .iter()
            .filter(move |subsystem| subsystem.nqn.as_ref() == Some(nqn))
    }

    /// The disk with this device number.
    #[must_use]
    pub fn find_namespace_by_dev(&self, dev: DevT) -> Option<&Namespace> {
        self.namespaces()
            .find(|namespace| namespace.dev == Some(dev))
    }

    /// The disk of the namespace that is meant, `None` if there is none.
    ///
    /// A namespace that appears as several disks, one per controller (`nvme_core.multipath=N`), is one candidate; its
    /// disk through a live controller is preferred.
    ///
    /// # Errors
    /// [`AmbiguousNamespace`] if several namespaces match, and what is unknown where it may be the one that is meant.
    pub fn find_namespace(
        &self,
        nqn: &Nqn,
        which: &NamespaceSelector,
    ) -> Result<Option<&Namespace>, FindNamespaceError> {
        let disks = self.find_subsystems(nqn).flat_map(|subsystem| {
            let selected = subsystem
                .namespaces
                .iter()
                .filter(|namespace| which.selects(namespace));
            selected.map(move |namespace| (subsystem, namespace))
        });
        let disks: Vec<(&Subsystem, &Namespace)> = disks.collect();
        let [(_, first), others @ ..] = disks.as_slice() else {
            return self
                .find_doubt(nqn, which)
                .map_or(Ok(None), |doubt| Err(ScanError::from(doubt.clone()).into()));
        };
        if others.iter().any(|(_, other)| !same_volume(first, other)) {
            let candidates = disks.iter().map(|(_, disk)| Candidate::of(disk)).collect();
            return Err(FindNamespaceError::Ambiguous(AmbiguousNamespace {
                nqn: nqn.clone(),
                candidates,
            }));
        }
        if let Some(doubt) = disks.iter().find_map(|(_, disk)| disk.doubt()) {
            return Err(ScanError::from(doubt.clone()).into());
        }
        let reachable = disks
            .iter()
            .find(|(subsystem, disk)| subsystem.is_reachable(disk));
        Ok(Some(reachable.map_or(*first, |(_, disk)| *disk)))
    }

    /// Everything that could not be read.
    pub fn unknown(&self) -> impl Iterator<Item = &Unknown> {
        let subsystems = self.subsystems.iter().flat_map(Subsystem::doubts);
        let unattached = self.unattached.iter().flat_map(Controller::doubts);
        self.unknown.iter().chain(subsystems).chain(unattached)
    }

    /// Proves that everything of a subsystem could be read: for whoever takes something away because it is not needed.
    ///
    /// # Errors
    /// [`ScanError::Unknown`] with the first thing that is not known, of it or of a subsystem whose name is not.
    pub fn require(&self, nqn: &Nqn) -> Result<(), ScanError> {
        let may_be = |subsystem: &&Subsystem| {
            subsystem.nqn.as_ref() == Some(nqn) || subsystem.nqn_text.is_empty()
        };
        let subsystems = self.subsystems.iter().filter(may_be);
        let mut doubts = subsystems.flat_map(Subsystem::doubts);
        match doubts.find(|doubt| doubt.matters()) {
            Some(doubt) => Err(doubt.clone().into()),
            None => Ok(()),
        }
    }

    /// What may hide the namespace that is meant, or keeps it from being recognised.
    fn find_doubt(&self, nqn: &Nqn, which: &NamespaceSelector) -> Option<&Unknown> {
        let may_be = |subsystem: &&Subsystem| {
            subsystem.nqn.as_ref() == Some(nqn) || subsystem.nqn_text.is_empty()
        };
        self.subsystems.iter().filter(may_be).find_map(|subsystem| {
            let disks = subsystem.namespaces.iter();
            let disks = disks.filter(|disk| which.may_select(&disk.identity));
            let doubts = subsystem.unknown.iter().filter(|doubt| doubt.matters());
            doubts.chain(disks.filter_map(Namespace::doubt)).next()
        })
    }

    /// The paths of a multipath head with their controllers; none for a controller's own disk.
    pub fn paths_of<'a>(
        &'a self,
        namespace: &'a Namespace,
    ) -> impl Iterator<Item = (&'a Controller, &'a NamespacePath)> {
        let controllers = namespace.is_head().then(|| self.controllers());
        controllers
            .into_iter()
            .flatten()
            .flat_map(move |controller| {
                let of_head = controller
                    .paths
                    .iter()
                    .filter(move |path| path.head == namespace.name);
                of_head.map(move |path| (controller, path))
            })
    }

    /// The controllers through which a disk is reached, or would be if they were live.
    pub fn carriers_of<'a>(
        &'a self,
        namespace: &'a Namespace,
    ) -> impl Iterator<Item = &'a Controller> {
        self.controllers()
            .filter(move |controller| controller.carries(namespace))
    }

    /// Live I/O controllers through which no namespace is reached at all: no path, also no inaccessible one, and no disk.
    pub fn orphans(&self) -> impl Iterator<Item = &Controller> {
        self.subsystems.iter().flat_map(Subsystem::orphans)
    }
}

impl NamespaceSelector {
    fn selects(&self, namespace: &Namespace) -> bool {
        let identity = &namespace.identity;
        match self {
            Self::Only => true,
            Self::Nsid(nsid) => identity.nsid == Some(*nsid),
            Self::Uuid(uuid) => identity.shows_uuid(uuid),
            Self::Nguid(nguid) => identity.nguid == Some(*nguid),
            Self::Eui64(eui64) => identity.eui64 == Some(*eui64),
        }
    }

    /// Whether a namespace may be the one that is meant, with what is not known of it.
    fn may_select(&self, identity: &NamespaceIdentity) -> bool {
        match self {
            Self::Only => true,
            Self::Nsid(_) => identity.nsid.is_none(),
            Self::Uuid(_) => identity.uuid.is_none(),
            Self::Nguid(_) => identity.nguid.is_none(),
            Self::Eui64(_) => identity.eui64.is_none(),
        }
    }
}

impl Controller {
    /// Everything that could not be read of it and of its paths.
    pub fn doubts(&self) -> impl Iterator<Item = &Unknown> {
        let of_paths = self.paths.iter().flat_map(|path| &path.unknown);
        self.unknown.iter().chain(of_paths)
    }

    /// Whether a disk is reached through this controller, or would be if it were live.
    #[must_use]
    pub fn carries(&self, disk: &Namespace) -> bool {
        match disk.kind {
            NamespaceKind::Disk(owner) => self.instance == owner,
            NamespaceKind::Head => self.paths.iter().any(|path| path.head == disk.name),
        }
    }
}

impl Subsystem {
    /// Everything that could not be read of it, its controllers and its disks.
    pub fn doubts(&self) -> impl Iterator<Item = &Unknown> {
        let of_disks = self.namespaces.iter().flat_map(|disk| &disk.unknown);
        let of_controllers = self.controllers.iter().flat_map(Controller::doubts);
        self.unknown.iter().chain(of_disks).chain(of_controllers)
    }

    /// Whether a live controller reaches this disk of the subsystem.
    #[must_use]
    pub fn is_reachable(&self, namespace: &Namespace) -> bool {
        self.controllers
            .iter()
            .filter(|controller| controller.is_live())
            .any(|controller| match namespace.kind {
                NamespaceKind::Disk(owner) => controller.instance == owner,
                NamespaceKind::Head => controller
                    .paths
                    .iter()
                    .any(|path| path.head == namespace.name && path.is_accessible()),
            })
    }

    /// Whether I/O of this disk may wait although the controller is live: the target shows the namespace there
    /// and serves it nowhere (asymmetric namespace access). The kernel keeps such I/O for as long as a
    /// controller is there (`nvme_available_path` in drivers/nvme/host/multipath.c). Never said of a
    /// controller through which another namespace is served.
    #[must_use]
    pub fn waits_behind(&self, namespace: &Namespace, controller: &Controller) -> bool {
        let is_shut = |path: &NamespacePath| path.head == namespace.name && !path.is_accessible();
        namespace.is_head()
            && !self.is_reachable(namespace)
            && controller.is_live()
            && controller.paths.iter().any(is_shut)
            && !controller.paths.iter().any(NamespacePath::is_accessible)
    }

    fn orphans(&self) -> impl Iterator<Item = &Controller> {
        self.controllers.iter().filter(|controller| {
            let own_disk = NamespaceKind::Disk(controller.instance);
            // One of which something is unknown may have a namespace there.
            controller.is_live()
                && controller.unknown.iter().all(|unknown| !unknown.matters())
                && controller.serves_io()
                && controller.paths.is_empty()
                && self
                    .namespaces
                    .iter()
                    .all(|namespace| namespace.kind != own_disk)
        })
    }
}

/// Two disks of one subsystem name show one volume: the same identity in every part, with the number alone where the
/// target gives no unique identifier. Two heads are never one volume: the kernel
/// joins equal namespaces in one head or refuses them.
fn same_volume(left: &Namespace, right: &Namespace) -> bool {
    let heads = left.is_head() && right.is_head();
    !heads
        && left.identity == right.identity
        && (left.identity.is_unique() || left.identity.nsid.is_some())
}
