//! A node whose target shows a volume of its own to each of its controllers, in a directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nvme_sysfs::{Namespace, Subsystem, Sysfs};
use nvmeof_csi::csi::proto::volume_capability::access_mode::Mode;
use nvmeof_csi::csi::proto::volume_capability::{AccessMode, AccessType, BlockVolume};
use nvmeof_csi::csi::proto::{NodeStageVolumeRequest, VolumeCapability};

use crate::kubelet::Kubelet;
use crate::synthetic::Synthetic;

/// Who the controllers of the synthetic tree belong to.
const HOSTID: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
const MOUNTINFO: &str =
    "1 1 0:2 / / rw - rootfs rootfs rw\n24 1 0:6 / /dev rw - devtmpfs udev rw\n";
const BOOT_ID: &str = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb\n";

/// The directory, and the volumes in it.
#[derive(Debug)]
pub(crate) struct NodeMachine {
    tree: Synthetic,
    pub(crate) stages: Vec<NodeStageVolumeRequest>,
}

impl NodeMachine {
    /// With so many volumes, all of them connected and none staged.
    pub(crate) fn new(volumes: u32) -> io::Result<Self> {
        let tree = Synthetic::new(volumes)?;
        let root = tree.root();
        let hostnqn = format!("nqn.2014-08.org.nvmexpress:uuid:{HOSTID}\n");
        for (path, content) in [
            ("etc/nvme/hostnqn", hostnqn.as_str()),
            ("etc/nvme/hostid", HOSTID),
            ("proc/self/mountinfo", MOUNTINFO),
            ("proc/sys/kernel/random/boot_id", BOOT_ID),
            ("dev/nvme-fabrics", ""),
        ] {
            write(&root.join(path), content)?;
        }
        fs::create_dir_all(root.join("kubelet/plugins_registry"))?;
        let mut machine = Self {
            stages: Vec::new(),
            tree,
        };
        let seen = Sysfs::at(machine.root()).scan().map_err(io::Error::other)?;
        for subsystem in &seen.subsystems {
            for namespace in &subsystem.namespaces {
                write(&machine.root().join("dev").join(&namespace.name), "")?;
                machine.stages.push(machine.stage(subsystem, namespace)?);
            }
        }
        Ok(machine)
    }

    /// The directory that stands for `/`.
    pub(crate) fn root(&self) -> &Path {
        self.tree.root()
    }

    /// kubelet's directory.
    pub(crate) fn kubelet(&self) -> PathBuf {
        self.root().join("kubelet")
    }

    /// Where the plugin keeps its records.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.kubelet().join("plugins/direct.nvmeof.csi/state")
    }

    /// Of a raw block volume: a filesystem would have to be mounted.
    fn stage(
        &self,
        subsystem: &Subsystem,
        namespace: &Namespace,
    ) -> io::Result<NodeStageVolumeRequest> {
        let missing = || io::Error::other(format!("{} is not complete", namespace.name));
        let nqn = subsystem.nqn.as_ref().ok_or_else(missing)?;
        let controller = subsystem.controllers.first().ok_or_else(missing)?;
        let address = controller.address.traddr.as_ref().ok_or_else(missing)?;
        let uuid = namespace.identity.uuid.ok_or_else(missing)?;
        let kubelet = Kubelet::at(&self.kubelet(), "direct.nvmeof.csi");
        let staging = kubelet.block_staging(&namespace.name);
        Ok(NodeStageVolumeRequest {
            volume_id: format!("volume-of-{}", namespace.name),
            staging_target_path: staging.display().to_string(),
            volume_capability: Some(VolumeCapability {
                access_type: Some(AccessType::Block(BlockVolume {})),
                access_mode: Some(AccessMode {
                    mode: Mode::SingleNodeWriter.into(),
                }),
            }),
            volume_context: [
                ("nqn".to_owned(), nqn.to_string()),
                ("addresses".to_owned(), address.clone()),
                ("namespaceUUID".to_owned(), uuid.to_string()),
            ]
            .into(),
            ..NodeStageVolumeRequest::default()
        })
    }
}

fn write(path: &Path, content: &str) -> io::Result<()> {
    let parent = path.parent().expect("a path joined to a root has a parent");
    fs::create_dir_all(parent)?;
    fs::write(path, content)
}
