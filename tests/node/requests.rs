//! Requests that are good as they are; a test changes what it is about.

use std::path::Path;

use nvmeof_csi::csi::proto::volume_capability::access_mode::Mode;
use nvmeof_csi::csi::proto::volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume};
use nvmeof_csi::csi::proto::{
    CapacityRange, NodeExpandVolumeRequest, NodeGetVolumeStatsRequest, NodePublishVolumeRequest,
    NodeStageVolumeRequest, NodeUnpublishVolumeRequest, NodeUnstageVolumeRequest, VolumeCapability,
};

use crate::machine::Machine;

pub(crate) const VOLUME: &str = "volume-1";

pub(crate) fn capability(access: AccessType, mode: Mode) -> VolumeCapability {
    VolumeCapability {
        access_type: Some(access),
        access_mode: Some(AccessMode { mode: mode.into() }),
    }
}

pub(crate) fn filesystem() -> VolumeCapability {
    capability(
        AccessType::Mount(MountVolume::default()),
        Mode::SingleNodeWriter,
    )
}

pub(crate) fn block() -> VolumeCapability {
    capability(AccessType::Block(BlockVolume {}), Mode::SingleNodeWriter)
}

/// The context of the volume on the captured target.
pub(crate) fn context() -> Vec<(&'static str, &'static str)> {
    vec![
        ("nqn", "nqn.2026-01.org.example:volume-1"),
        ("addresses", "10.0.0.2"),
        ("namespaceUUID", "11111111-1111-4111-8111-111111111111"),
    ]
}

pub(crate) fn stage(machine: &Machine) -> NodeStageVolumeRequest {
    let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    NodeStageVolumeRequest {
        volume_id: VOLUME.to_owned(),
        staging_target_path: text(&machine.staging()),
        volume_capability: Some(filesystem()),
        volume_context: context().into_iter().map(own).collect(),
        ..NodeStageVolumeRequest::default()
    }
}

pub(crate) fn unstage(machine: &Machine) -> NodeUnstageVolumeRequest {
    NodeUnstageVolumeRequest {
        volume_id: VOLUME.to_owned(),
        staging_target_path: text(&machine.staging()),
    }
}

pub(crate) fn publish(machine: &Machine) -> NodePublishVolumeRequest {
    NodePublishVolumeRequest {
        volume_id: VOLUME.to_owned(),
        staging_target_path: text(&machine.staging()),
        target_path: text(&machine.target("pod-1")),
        volume_capability: Some(filesystem()),
        ..NodePublishVolumeRequest::default()
    }
}

pub(crate) fn unpublish(machine: &Machine) -> NodeUnpublishVolumeRequest {
    NodeUnpublishVolumeRequest {
        volume_id: VOLUME.to_owned(),
        target_path: text(&machine.target("pod-1")),
    }
}

pub(crate) fn stats(machine: &Machine) -> NodeGetVolumeStatsRequest {
    NodeGetVolumeStatsRequest {
        volume_id: VOLUME.to_owned(),
        volume_path: text(&machine.staging()),
        staging_target_path: String::new(),
    }
}

pub(crate) fn expand(machine: &Machine, required_bytes: i64) -> NodeExpandVolumeRequest {
    NodeExpandVolumeRequest {
        volume_id: VOLUME.to_owned(),
        volume_path: text(&machine.staging()),
        capacity_range: Some(CapacityRange {
            required_bytes,
            limit_bytes: 0,
        }),
        ..NodeExpandVolumeRequest::default()
    }
}

pub(crate) fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}
