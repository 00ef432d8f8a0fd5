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

/// Where kubelet has a volume staged, and where it has it published for the pod.
fn places(machine: &Machine, capability: &VolumeCapability) -> (String, String) {
    let (staging, target) = match capability.access_type {
        Some(AccessType::Block(_)) => (machine.block_staging(), machine.block_target("pod-1")),
        Some(AccessType::Mount(_)) | None => (machine.staging(), machine.target("pod-1")),
    };
    (text(&staging), text(&target))
}

pub(crate) fn stage(machine: &Machine) -> NodeStageVolumeRequest {
    stage_as(machine, filesystem())
}

pub(crate) fn stage_as(machine: &Machine, capability: VolumeCapability) -> NodeStageVolumeRequest {
    let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let (staging_target_path, _) = places(machine, &capability);
    NodeStageVolumeRequest {
        volume_id: VOLUME.to_owned(),
        staging_target_path,
        volume_capability: Some(capability),
        volume_context: context().into_iter().map(own).collect(),
        ..NodeStageVolumeRequest::default()
    }
}

pub(crate) fn unstage(machine: &Machine) -> NodeUnstageVolumeRequest {
    unstage_as(machine, &filesystem())
}

pub(crate) fn unstage_as(
    machine: &Machine,
    capability: &VolumeCapability,
) -> NodeUnstageVolumeRequest {
    let (staging_target_path, _) = places(machine, capability);
    NodeUnstageVolumeRequest {
        volume_id: VOLUME.to_owned(),
        staging_target_path,
    }
}

pub(crate) fn publish(machine: &Machine) -> NodePublishVolumeRequest {
    publish_as(machine, filesystem())
}

pub(crate) fn publish_as(
    machine: &Machine,
    capability: VolumeCapability,
) -> NodePublishVolumeRequest {
    let (staging_target_path, target_path) = places(machine, &capability);
    NodePublishVolumeRequest {
        volume_id: VOLUME.to_owned(),
        staging_target_path,
        target_path,
        volume_capability: Some(capability),
        ..NodePublishVolumeRequest::default()
    }
}

pub(crate) fn unpublish(machine: &Machine) -> NodeUnpublishVolumeRequest {
    unpublish_as(machine, &filesystem())
}

pub(crate) fn unpublish_as(
    machine: &Machine,
    capability: &VolumeCapability,
) -> NodeUnpublishVolumeRequest {
    let (_, target_path) = places(machine, capability);
    NodeUnpublishVolumeRequest {
        volume_id: VOLUME.to_owned(),
        target_path,
    }
}

/// Of a filesystem; kubelet says nothing else about it.
pub(crate) fn stats(machine: &Machine) -> NodeGetVolumeStatsRequest {
    stats_at(&machine.target("pod-1"))
}

pub(crate) fn stats_at(path: &Path) -> NodeGetVolumeStatsRequest {
    NodeGetVolumeStatsRequest {
        volume_id: VOLUME.to_owned(),
        volume_path: text(path),
        staging_target_path: String::new(),
    }
}

pub(crate) fn expand(machine: &Machine, required_bytes: i64) -> NodeExpandVolumeRequest {
    let capability = filesystem();
    let (staging_target_path, volume_path) = places(machine, &capability);
    NodeExpandVolumeRequest {
        volume_id: VOLUME.to_owned(),
        volume_path,
        staging_target_path,
        volume_capability: Some(capability),
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
