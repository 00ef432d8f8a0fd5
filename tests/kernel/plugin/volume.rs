//! A volume of a case, and what kubelet asks about it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount, umount};
use nvmeof_csi::csi::proto as csi;
use nvmeof_csi::host::MapId;

use super::{KUBELET, is_mounted};
use crate::kubelet::Kubelet;
use crate::scene::{NQN, UUID};

/// The name of the driver, unless it is given another.
const DRIVER: &str = "direct.nvmeof.csi";
/// The pod that has every volume, by its UID.
const POD: &str = "5f1c1d7e-7d8e-4b55-9c9d-0d1f5a0a7c11";

/// How a test volume is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Filesystem(&'static str),
    Block,
}

/// A volume as a PersistentVolume describes it.
#[derive(Debug, Clone)]
pub(crate) struct Volume {
    pub(crate) id: String,
    /// The driver that kubelet asks.
    pub(crate) driver: &'static str,
    pub(crate) usage: Use,
    pub(crate) context: BTreeMap<String, String>,
}

impl Volume {
    /// kubelet in the guest.
    fn kubelet(&self) -> Kubelet {
        Kubelet::at(Path::new(KUBELET), self.driver)
    }

    /// The map that it has where it is held by one.
    pub(crate) fn map(&self) -> MapId {
        MapId::of_volume(self.driver, &self.id)
    }

    /// The namespace [`UUID`] of [`NQN`] on the first cable.
    pub(crate) fn new(usage: Use) -> Self {
        Self::of("volume-1", usage, NQN, UUID)
    }

    pub(crate) fn of(id: &str, usage: Use, nqn: &str, uuid: &str) -> Self {
        let context = [
            ("nqn", nqn),
            ("addresses", "10.0.0.2"),
            ("namespaceUUID", uuid),
        ];
        let context = context
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        Self {
            id: id.to_owned(),
            driver: DRIVER,
            usage,
            context,
        }
    }

    pub(crate) fn staging(&self) -> PathBuf {
        match self.usage {
            Use::Filesystem(_) => self.kubelet().staging(&self.id),
            Use::Block => self.kubelet().block_staging(&self.id),
        }
    }

    pub(crate) fn target(&self) -> PathBuf {
        match self.usage {
            Use::Filesystem(_) => self.kubelet().target(POD, &self.id),
            Use::Block => self.kubelet().block_target(POD, &self.id),
        }
    }

    /// Where kubelet asks how full it is.
    pub(crate) fn asked(&self) -> PathBuf {
        match self.usage {
            Use::Filesystem(_) => self.target(),
            Use::Block => self.kubelet().block_node(POD, &self.id),
        }
    }

    pub(super) fn map_device(&self) {
        let node = self.asked();
        if self.usage != Use::Block || is_mounted(&node) {
            return;
        }
        fs::create_dir_all(node.parent().expect("a parent")).expect("a directory");
        File::create(&node).expect("a file");
        let none: Option<&str> = None;
        mount(Some(&self.target()), &node, none, MsFlags::MS_BIND, none).expect("a bind mount");
    }

    pub(crate) fn unmap_device(&self) {
        let node = self.asked();
        if self.usage == Use::Block && is_mounted(&node) {
            umount(&node).expect("an unmount");
            fs::remove_file(&node).expect("its own file");
        }
    }

    pub(crate) fn capability(&self) -> csi::VolumeCapability {
        use csi::volume_capability::{
            AccessMode, AccessType, BlockVolume, MountVolume, access_mode::Mode,
        };
        let access_type = match self.usage {
            Use::Filesystem(fs_type) => AccessType::Mount(MountVolume {
                fs_type: fs_type.to_owned(),
                ..MountVolume::default()
            }),
            Use::Block => AccessType::Block(BlockVolume {}),
        };
        csi::VolumeCapability {
            access_mode: Some(AccessMode {
                mode: Mode::SingleNodeWriter.into(),
            }),
            access_type: Some(access_type),
        }
    }

    /// As kubelet does, the staging directory is made by the caller.
    pub(crate) fn stage_request(&self) -> csi::NodeStageVolumeRequest {
        fs::create_dir_all(self.staging()).expect("the staging directory");
        csi::NodeStageVolumeRequest {
            volume_id: self.id.clone(),
            staging_target_path: self.staging().display().to_string(),
            volume_capability: Some(self.capability()),
            volume_context: self.context.clone(),
            ..csi::NodeStageVolumeRequest::default()
        }
    }

    pub(crate) fn unstage_request(&self) -> csi::NodeUnstageVolumeRequest {
        csi::NodeUnstageVolumeRequest {
            volume_id: self.id.clone(),
            staging_target_path: self.staging().display().to_string(),
        }
    }

    /// As kubelet does, the target's parent is made by the caller and the target is not.
    pub(crate) fn publish_request(&self) -> csi::NodePublishVolumeRequest {
        fs::create_dir_all(self.target().parent().expect("a parent")).expect("the pod's directory");
        csi::NodePublishVolumeRequest {
            volume_id: self.id.clone(),
            staging_target_path: self.staging().display().to_string(),
            target_path: self.target().display().to_string(),
            volume_capability: Some(self.capability()),
            volume_context: self.context.clone(),
            ..csi::NodePublishVolumeRequest::default()
        }
    }

    pub(crate) fn unpublish_request(&self) -> csi::NodeUnpublishVolumeRequest {
        csi::NodeUnpublishVolumeRequest {
            volume_id: self.id.clone(),
            target_path: self.target().display().to_string(),
        }
    }

    pub(crate) fn expand_request(&self, bytes: i64) -> csi::NodeExpandVolumeRequest {
        csi::NodeExpandVolumeRequest {
            volume_id: self.id.clone(),
            volume_path: self.target().display().to_string(),
            staging_target_path: self.staging().display().to_string(),
            capacity_range: Some(csi::CapacityRange {
                required_bytes: bytes,
                limit_bytes: 0,
            }),
            volume_capability: Some(self.capability()),
            ..csi::NodeExpandVolumeRequest::default()
        }
    }

    pub(crate) fn health_request(&self) -> csi::NodeGetVolumeHealthRequest {
        // What kubelet knows of each (`volumeHealthPaths`): of a raw disk where its own nodes are.
        let (staging, published) = match self.usage {
            Use::Filesystem(_) => (self.staging(), self.target().display().to_string()),
            Use::Block => (self.kubelet().block_nodes(&self.id), String::new()),
        };
        csi::NodeGetVolumeHealthRequest {
            volume_id: self.id.clone(),
            volume_publish_path: published,
            staging_target_path: staging.display().to_string(),
        }
    }

    pub(crate) fn stats_request(&self) -> csi::NodeGetVolumeStatsRequest {
        csi::NodeGetVolumeStatsRequest {
            volume_id: self.id.clone(),
            volume_path: self.asked().display().to_string(),
            ..csi::NodeGetVolumeStatsRequest::default()
        }
    }
}
