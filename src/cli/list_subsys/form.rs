//! The whole tree for programs, `list-subsys -o json --tree`: what people get, with every field named.
//!
//! Invariant: fields are only added.

use std::path::Path;

use nvme_sysfs::{Controller, Namespace, NamespaceKind, Subsystem, Tree, Unknown};
use serde::Serialize;

use super::volumes::HostVolume;
use crate::cli::disk::Disk;
use crate::volume::Surveyed;

/// Everything that is listed.
#[derive(Debug, Serialize)]
pub struct WholeTree {
    subsystems: Vec<SubsystemForm>,
    /// Controllers that have not identified themselves yet.
    unattached: Vec<ControllerForm>,
    /// Volumes of the node plugins that are on none of these disks.
    volumes: Vec<HostVolume>,
    /// What cannot be read.
    unknown: Vec<String>,
}

#[derive(Debug, Serialize)]
struct SubsystemForm {
    name: String,
    nqn: String,
    iopolicy: Option<String>,
    controllers: Vec<ControllerForm>,
    disks: Vec<DiskForm>,
}

#[derive(Debug, Serialize)]
struct ControllerForm {
    name: String,
    transport: String,
    address: String,
    state: String,
    hostnqn: Option<String>,
    hostid: Option<String>,
}

#[derive(Debug, Serialize)]
struct DiskForm {
    #[serde(flatten)]
    disk: Disk,
    paths: Vec<PathForm>,
    /// Volumes of the node plugins on it, and how each is held.
    volumes: Vec<HostVolume>,
}

#[derive(Debug, Serialize)]
struct PathForm {
    controller: String,
    /// Whether I/O can go through it: the controller is live, and the target serves the namespace there.
    usable: bool,
    /// Access state, where the controller reports any.
    ana: Option<String>,
}

impl WholeTree {
    /// Puts it together.
    pub(super) fn of(root: &Path, tree: &Tree, volumes: &[Surveyed]) -> WholeTree {
        let subsystems = tree.subsystems.iter();
        let is_on_a_disk = |volume: &&Surveyed| {
            tree.find_subsystems(&volume.nqn)
                .flat_map(|subsystem| &subsystem.namespaces)
                .any(|disk| volume.disk.as_ref() == Some(&disk.name))
        };
        let others = volumes.iter().filter(|volume| !is_on_a_disk(volume));
        WholeTree {
            subsystems: subsystems
                .map(|subsystem| SubsystemForm::of(root, (tree, subsystem), volumes))
                .collect(),
            unattached: tree.unattached.iter().map(ControllerForm::of).collect(),
            volumes: others.cloned().map(HostVolume::from).collect(),
            unknown: tree.unknown().map(Unknown::to_string).collect(),
        }
    }
}

impl SubsystemForm {
    fn of(root: &Path, of: (&Tree, &Subsystem), volumes: &[Surveyed]) -> SubsystemForm {
        let (_, subsystem) = of;
        let disks = subsystem.namespaces.iter();
        SubsystemForm {
            name: subsystem.name.clone(),
            nqn: subsystem.nqn_text.clone(),
            iopolicy: subsystem.iopolicy.as_ref().map(ToString::to_string),
            controllers: subsystem
                .controllers
                .iter()
                .map(ControllerForm::of)
                .collect(),
            disks: disks
                .map(|disk| DiskForm::of(root, of, (disk, volumes)))
                .collect(),
        }
    }
}

impl ControllerForm {
    fn of(controller: &Controller) -> ControllerForm {
        ControllerForm {
            name: controller.instance.to_string(),
            transport: controller.transport.to_string(),
            address: controller.address_text.clone(),
            state: controller.state.to_string(),
            hostnqn: controller.hostnqn_text.clone(),
            hostid: controller.hostid.map(|hostid| hostid.to_string()),
        }
    }
}

impl DiskForm {
    fn of(
        root: &Path,
        (tree, subsystem): (&Tree, &Subsystem),
        (disk, volumes): (&Namespace, &[Surveyed]),
    ) -> DiskForm {
        let paths = match disk.kind {
            NamespaceKind::Head => tree
                .paths_of(disk)
                .map(|(controller, path)| PathForm {
                    controller: controller.instance.to_string(),
                    usable: controller.is_live() && path.is_accessible(),
                    ana: path.ana_state.as_ref().map(ToString::to_string),
                })
                .collect(),
            NamespaceKind::Disk(owner) => vec![PathForm {
                controller: owner.to_string(),
                usable: subsystem.is_reachable(disk),
                ana: None,
            }],
        };
        let is_on = |volume: &&Surveyed| {
            subsystem.nqn.as_ref() == Some(&volume.nqn) && volume.disk.as_ref() == Some(&disk.name)
        };
        let volumes = volumes.iter().filter(is_on).cloned();
        DiskForm {
            disk: Disk::of(root, (tree, subsystem), disk),
            paths,
            volumes: volumes.map(HostVolume::from).collect(),
        }
    }
}
