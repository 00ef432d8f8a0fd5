//! Messages as typed requests: those of the node service for [`crate::volume`], those of the
//! controller for [`crate::cluster`].
//!
//! Invariant: nothing else answers INVALID_ARGUMENT, and what comes out of here needs no further
//! check of its form.

mod controller;

use std::path::{Component, Path, PathBuf};

use nvme_fabrics::HostIdentity;

use super::capability::{self, FSTYPE_KEY};
use super::invalid::InvalidRequest;
use super::parameters::{self, Map};
use super::proto::{
    CapacityRange, NodeExpandVolumeRequest, NodeGetStorageHealthRequest,
    NodeGetVolumeHealthRequest, NodeGetVolumeStatsRequest, NodePublishVolumeRequest,
    NodeStageVolumeRequest, NodeUnpublishVolumeRequest, NodeUnstageVolumeRequest,
};
use crate::volume::request::{
    ClaimRef, ExpandRequest, PodRef, PublishRequest, Readonly, StageRequest, UnpublishRequest,
    UnstageRequest, VolumeId,
};

pub(super) use controller::{Validation, attach, detach, validate};

/// The longest path that the kernel takes in one call, without the closing NUL: `PATH_MAX` - 1.
const MAX_PATH: usize = 4095;

/// The longest name of an object of Kubernetes, that of a DNS subdomain (RFC 1123).
const MAX_NAME: usize = 253;

/// Keys that kubelet adds where CSIDriver has `podInfoOnMount`.
const POD_NAME: &str = "csi.storage.k8s.io/pod.name";
const POD_NAMESPACE: &str = "csi.storage.k8s.io/pod.namespace";
const POD_UID: &str = "csi.storage.k8s.io/pod.uid";

/// Keys of the claim: a provisioner that runs with `--extra-create-metadata` hands them on.
const CLAIM_NAME: &str = "csi.storage.k8s.io/pvc/name";
const CLAIM_NAMESPACE: &str = "csi.storage.k8s.io/pvc/namespace";

/// NodeStageVolume on the host that is `host` to a target.
pub(super) fn stage(
    message: NodeStageVolumeRequest,
    host: &HostIdentity,
) -> Result<StageRequest, InvalidRequest> {
    let volume_id = volume_id(message.volume_id)?;
    let staging_target_path = path("staging_target_path", message.staging_target_path)?;
    let fstype = message.volume_context.get(FSTYPE_KEY).map(String::as_str);
    let capability = capability::parse(message.volume_capability, fstype)?;
    no_publish_context(&message.publish_context)?;
    let parameters =
        parameters::parse(&volume_id, &message.volume_context, &message.secrets, host)?;
    parameters.check(&capability.access)?;
    Ok(StageRequest {
        volume_id,
        staging_target_path,
        capability,
        source: parameters.source,
        secrets: parameters.secrets,
        multi_mount: parameters.multi_mount,
        // The interface does not say at this point how large the volume is to be.
        claim: claim(&message.volume_context),
    })
}

/// NodeUnstageVolume.
pub(super) fn unstage(message: NodeUnstageVolumeRequest) -> Result<UnstageRequest, InvalidRequest> {
    Ok(UnstageRequest {
        volume_id: volume_id(message.volume_id)?,
        staging_target_path: path("staging_target_path", message.staging_target_path)?,
    })
}

/// NodePublishVolume.
pub(super) fn publish(message: NodePublishVolumeRequest) -> Result<PublishRequest, InvalidRequest> {
    let volume_id = volume_id(message.volume_id)?;
    let staging_target_path = path("staging_target_path", message.staging_target_path)?;
    let target_path = path("target_path", message.target_path)?;
    let fstype = message.volume_context.get(FSTYPE_KEY).map(String::as_str);
    let capability = capability::parse(message.volume_capability, fstype)?;
    no_publish_context(&message.publish_context)?;
    let readonly = match message.readonly {
        true => Readonly::Yes,
        false => Readonly::No,
    };
    Ok(PublishRequest {
        volume_id,
        staging_target_path,
        target_path,
        capability,
        readonly,
        pod: pod(&message.volume_context),
    })
}

/// NodeUnpublishVolume.
pub(super) fn unpublish(
    message: NodeUnpublishVolumeRequest,
) -> Result<UnpublishRequest, InvalidRequest> {
    Ok(UnpublishRequest {
        volume_id: volume_id(message.volume_id)?,
        target_path: path("target_path", message.target_path)?,
    })
}

/// NodeExpandVolume.
pub(super) fn expand(message: NodeExpandVolumeRequest) -> Result<ExpandRequest, InvalidRequest> {
    let volume_id = volume_id(message.volume_id)?;
    let volume_path = place("volume_path", message.volume_path)?;
    let staging_target_path = optional_path("staging_target_path", message.staging_target_path)?;
    if message.volume_capability.is_some() {
        capability::parse(message.volume_capability, None)?;
    }
    parameters::parse_secrets(&message.secrets)?;
    let (required_bytes, limit_bytes) = range(message.capacity_range.unwrap_or_default())?;
    Ok(ExpandRequest {
        volume_id,
        volume_path,
        staging_target_path,
        required_bytes,
        limit_bytes,
    })
}

/// NodeGetVolumeStats.
pub(super) fn stats(
    message: NodeGetVolumeStatsRequest,
) -> Result<(VolumeId, PathBuf), InvalidRequest> {
    let volume_id = volume_id(message.volume_id)?;
    let volume_path = place("volume_path", message.volume_path)?;
    optional_path("staging_target_path", message.staging_target_path)?;
    Ok((volume_id, volume_path))
}

/// NodeGetVolumeHealth. kubelet calls it before NodeStageVolume, with nothing but the volume's name.
pub(super) fn health(message: NodeGetVolumeHealthRequest) -> Result<VolumeId, InvalidRequest> {
    let volume_id = volume_id(message.volume_id)?;
    optional_path("volume_publish_path", message.volume_publish_path)?;
    optional_path("staging_target_path", message.staging_target_path)?;
    Ok(volume_id)
}

/// NodeGetStorageHealth.
pub(super) fn storage_health(message: &NodeGetStorageHealthRequest) -> Result<(), InvalidRequest> {
    parameters::parse_secrets(&message.secrets).map(drop)
}

fn volume_id(text: String) -> Result<VolumeId, InvalidRequest> {
    if text.is_empty() {
        return Err(InvalidRequest::missing("volume_id"));
    }
    text.try_into()
        .map_err(|error| InvalidRequest::field("volume_id", format!("is not valid: {error}")))
}

/// A path of kubelet: absolute, and without `..`, which would lead out of kubelet's directory.
fn path(field: &str, text: String) -> Result<PathBuf, InvalidRequest> {
    if text.is_empty() {
        return Err(InvalidRequest::missing(field));
    }
    let rule = if text.len() > MAX_PATH {
        format!("has {} bytes, at most {MAX_PATH} are allowed", text.len())
    } else if !text.starts_with('/') {
        "must be absolute".to_owned()
    } else if text.contains('\0') {
        "holds a NUL".to_owned()
    } else if Path::new(&text)
        .components()
        .any(|part| part == Component::ParentDir)
    {
        "must not have ..".to_owned()
    } else if Path::new(&text).parent().is_none() {
        "must not be the root directory".to_owned()
    } else {
        return Ok(PathBuf::from(text));
    };
    Err(InvalidRequest::value(field, text, rule))
}

/// A path that is only looked up among those known here, and never given to the kernel. The protocol has NOT_FOUND for a
/// place where the volume is not, and no volume is ever at a relative path.
fn place(field: &str, text: String) -> Result<PathBuf, InvalidRequest> {
    match text.is_empty() || text.starts_with('/') {
        true => path(field, text),
        false => Ok(PathBuf::from(text)),
    }
}

fn optional_path(field: &str, text: String) -> Result<Option<PathBuf>, InvalidRequest> {
    match text.is_empty() {
        true => Ok(None),
        false => path(field, text).map(Some),
    }
}

/// Sizes from the wire, where zero is none.
fn range(range: CapacityRange) -> Result<(Option<u64>, Option<u64>), InvalidRequest> {
    let bytes = |field: &str, value: i64| {
        let bytes = u64::try_from(value);
        let rule = "must not be negative";
        let bytes = bytes.map_err(|_| InvalidRequest::value(field, value.to_string(), rule))?;
        Ok((bytes > 0).then_some(bytes))
    };
    let required = bytes("capacity_range.required_bytes", range.required_bytes)?;
    let limit = bytes("capacity_range.limit_bytes", range.limit_bytes)?;
    match (required, limit) {
        (Some(required), Some(limit)) if limit < required => Err(InvalidRequest::value(
            "capacity_range.limit_bytes",
            limit.to_string(),
            format!("is less than required_bytes, {required}"),
        )),
        sizes => Ok(sizes),
    }
}

/// Nothing here publishes a volume to a node, so whatever is in there was meant for another driver.
fn no_publish_context(context: &Map) -> Result<(), InvalidRequest> {
    match context.keys().next() {
        None => Ok(()),
        Some(name) => {
            let field = format!("publish_context[{name:?}]");
            Err(InvalidRequest::field(field, "is not known"))
        }
    }
}

/// The claim that is bound to the volume, where its context says so.
pub(super) fn claim(context: &Map) -> Option<ClaimRef> {
    Some(ClaimRef {
        namespace: object_name(context, CLAIM_NAMESPACE)?,
        name: object_name(context, CLAIM_NAME)?,
    })
}

/// The pod, where kubelet names it.
pub(super) fn pod(context: &Map) -> Option<PodRef> {
    Some(PodRef {
        namespace: object_name(context, POD_NAMESPACE)?,
        name: object_name(context, POD_NAME)?,
        uid: object_name(context, POD_UID),
    })
}

/// What is longer is the name of nothing in Kubernetes: it is not kept.
fn object_name(context: &Map, key: &str) -> Option<String> {
    let name = context.get(key).filter(|name| name.len() <= MAX_NAME);
    name.cloned()
}
