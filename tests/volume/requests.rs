//! Requests for the volumes of the captured machines.

use std::fs;
use std::path::{Path, PathBuf};

use nvme_sysfs::{NamespaceSelector, Transport};
use nvmeof_csi::host::{Access, Host as _};
use nvmeof_csi::volume::Volumes;
use nvmeof_csi::volume::request::{
    AccessMode, AccessType, Capability, ExpandRequest, FilesystemType, MultiMount, PathLossHold,
    Portal, PublishRequest, Readonly, Secrets, Source, SourceTuning, StageRequest,
    UnpublishRequest, UnstageRequest, VolumeId,
};

use crate::machine::{Machine, PV};

pub(crate) const FIRST: &str = "11111111-1111-4111-8111-111111111111";
pub(crate) const SECOND: &str = "22222222-2222-4222-8222-222222222222";

pub(crate) fn id(text: &str) -> VolumeId {
    text.parse().expect("an id")
}

pub(crate) fn ext4() -> Capability {
    filesystem(FilesystemType::Ext4, AccessMode::SingleNodeWriter)
}

pub(crate) fn filesystem(fs: FilesystemType, mode: AccessMode) -> Capability {
    let flags = Vec::new();
    Capability {
        access: AccessType::Filesystem { fs, flags },
        mode,
    }
}

/// With the mount options of a PersistentVolume.
pub(crate) fn ext4_with(options: &[&str]) -> Capability {
    let flags = options.iter().map(|word| word.parse().expect("a flag"));
    let access = AccessType::Filesystem {
        fs: FilesystemType::Ext4,
        flags: flags.collect(),
    };
    let mode = AccessMode::SingleNodeWriter;
    Capability { access, mode }
}

pub(crate) fn block() -> Capability {
    Capability {
        access: AccessType::Block,
        mode: AccessMode::SingleNodeWriter,
    }
}

pub(crate) fn portal(trsvcid: u16) -> Portal {
    Portal {
        traddr: "10.0.0.2".parse().expect("an address"),
        trsvcid,
    }
}

pub(crate) fn source(ports: &[u16]) -> Source {
    Source {
        nqn: "nqn.2026-01.org.example:volume-1".parse().expect("a name"),
        transport: Transport::Tcp,
        addresses: ports.iter().map(|port| portal(*port)).collect(),
        which: NamespaceSelector::Uuid(FIRST.parse().expect("a uuid")),
        tuning: SourceTuning::default(),
        hold: PathLossHold::Auto,
        path_loss_timeout: None,
    }
}

pub(crate) fn stage(machine: &Machine, capability: Capability) -> StageRequest {
    StageRequest {
        volume_id: id("volume-1"),
        staging_target_path: staging_of(machine, &capability),
        capability,
        source: source(&[4420]),
        secrets: Secrets::default(),
        multi_mount: MultiMount::Unprotected,
        claim: None,
    }
}

/// Where kubelet lets it be staged.
fn staging_of(machine: &Machine, capability: &Capability) -> PathBuf {
    match capability.access {
        AccessType::Block => machine.block_staging(),
        AccessType::Filesystem { .. } => machine.staging(),
    }
}

/// Where kubelet lets it be published for a pod.
pub(crate) fn target_of(machine: &Machine, stage: &StageRequest, pod: &str) -> PathBuf {
    match stage.capability.access {
        AccessType::Block => machine.block_target(pod),
        AccessType::Filesystem { .. } => machine.target(pod),
    }
}

/// Stages a volume and gives it to a pod as kubelet does, and tells where kubelet asks about it: a raw
/// disk at a bind mount of its own.
pub(crate) fn give(machine: &Machine, volumes: &Volumes, stage: &StageRequest) -> PathBuf {
    volumes.stage(stage).expect("staged");
    let target = target_of(machine, stage, "pod");
    let published = volumes.publish(&publish(stage, &target));
    published.expect("published");
    if stage.capability.access != AccessType::Block {
        return target;
    }
    let node = machine.kubelet().block_node("pod", PV);
    let bound = machine.host.bind(&target, &node, Access::ReadWrite, &[]);
    bound.expect("bound");
    node
}

/// The volume on the other namespace of the subsystem, staged beside the first.
pub(crate) fn stage_second(machine: &Machine, capability: Capability) -> StageRequest {
    let kubelet = machine.kubelet();
    let staging = match capability.access {
        AccessType::Block => kubelet.block_staging("pv-2"),
        AccessType::Filesystem { .. } => kubelet.staging("volume-2"),
    };
    fs::create_dir_all(&staging).expect("a directory");
    let mut request = stage(machine, capability);
    request.volume_id = id("volume-2");
    request.staging_target_path = staging;
    request.source.which = NamespaceSelector::Uuid(SECOND.parse().expect("a uuid"));
    request
}

pub(crate) fn unstage(stage: &StageRequest) -> UnstageRequest {
    UnstageRequest {
        volume_id: stage.volume_id.clone(),
        staging_target_path: stage.staging_target_path.clone(),
    }
}

pub(crate) fn publish(stage: &StageRequest, target: &Path) -> PublishRequest {
    PublishRequest {
        volume_id: stage.volume_id.clone(),
        staging_target_path: stage.staging_target_path.clone(),
        target_path: target.to_owned(),
        capability: stage.capability.clone(),
        readonly: Readonly::No,
        pod: None,
    }
}

pub(crate) fn unpublish(publish: &PublishRequest) -> UnpublishRequest {
    UnpublishRequest {
        volume_id: publish.volume_id.clone(),
        target_path: publish.target_path.clone(),
    }
}

/// As kubelet asks: where the pod finds the volume, and where it is staged.
pub(crate) fn expand(
    machine: &Machine,
    stage: &StageRequest,
    required_bytes: u64,
) -> ExpandRequest {
    ExpandRequest {
        volume_id: stage.volume_id.clone(),
        volume_path: target_of(machine, stage, "pod"),
        staging_target_path: Some(stage.staging_target_path.clone()),
        required_bytes: Some(required_bytes),
        limit_bytes: None,
    }
}
