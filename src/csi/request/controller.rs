//! Messages of the controller service.
//!
//! What a node would refuse of a volume is refused here already: the same parsers read it.

use nvme_fabrics::HostIdentity;
use nvme_sysfs::{Nqn, Uuid};

use super::volume_id;
use crate::cluster::Wanted;
use crate::cluster::node_id::NodeId;
use crate::csi::capability::{self, FSTYPE_KEY};
use crate::csi::invalid::InvalidRequest;
use crate::csi::parameters::{self, Map, Parameters};
use crate::csi::proto::{
    ControllerPublishVolumeRequest, ControllerUnpublishVolumeRequest,
    ValidateVolumeCapabilitiesRequest, VolumeCapability,
};
use crate::volume::request::VolumeId;

/// In the place of a host's UUID, which the controller does not know: options are only checked here.
const SOME_UUID: &str = "00000000-0000-4000-8000-000000000001";

/// ControllerPublishVolume.
pub(in crate::csi) fn attach(
    message: ControllerPublishVolumeRequest,
) -> Result<Wanted, InvalidRequest> {
    let volume_id = volume_id(message.volume_id)?;
    let node_id = node_id(&message.node_id)?;
    let fstype = message.volume_context.get(FSTYPE_KEY).map(String::as_str);
    let capability = capability::parse(message.volume_capability, fstype)?;
    if message.readonly {
        return Err(InvalidRequest::field(
            "readonly",
            "must be false: PUBLISH_READONLY is not announced",
        ));
    }
    let hostnqn = node_id.hostnqn.clone();
    let (context, secrets) = (&message.volume_context, &message.secrets);
    let parameters = parse_context(&volume_id, context, secrets, hostnqn)?;
    parameters.check(&capability.access)?;
    Ok(Wanted {
        volume_id,
        node_id,
        mode: capability.mode,
    })
}

/// ControllerUnpublishVolume: the volume, and the name of the node unless all are meant. Nothing else
/// is asked of either: what was attached under another driver's rules must go, too.
pub(in crate::csi) fn detach(
    message: ControllerUnpublishVolumeRequest,
) -> Result<(String, Option<String>), InvalidRequest> {
    if message.volume_id.is_empty() {
        return Err(InvalidRequest::missing("volume_id"));
    }
    let name = message.node_id.split('/').next().unwrap_or_default();
    let node = (!name.is_empty()).then(|| name.to_owned());
    Ok((message.volume_id, node))
}

/// What ValidateVolumeCapabilities asks.
#[derive(Debug)]
pub(in crate::csi) struct Validation {
    pub(in crate::csi) volume_id: VolumeId,
    pub(in crate::csi) context: Map,
    pub(in crate::csi) capabilities: Vec<VolumeCapability>,
    /// Why the volume cannot be used so, if it cannot.
    pub(in crate::csi) problem: Option<InvalidRequest>,
}

/// ValidateVolumeCapabilities. What is missing is an error; what is there and will not do, an answer.
pub(in crate::csi) fn validate(
    message: ValidateVolumeCapabilitiesRequest,
) -> Result<Validation, InvalidRequest> {
    let volume_id = volume_id(message.volume_id)?;
    if message.volume_capabilities.is_empty() {
        return Err(InvalidRequest::missing("volume_capabilities"));
    }
    let context = message.volume_context;
    let fstype = context.get(FSTYPE_KEY).map(String::as_str);
    let parameters = match context.is_empty() {
        true => Ok(None),
        false => {
            let hostnqn = any_host(&context);
            parse_context(&volume_id, &context, &message.secrets, hostnqn).map(Some)
        }
    };
    let (parameters, mut problem) = match parameters {
        Ok(parameters) => (parameters, None),
        Err(error) => (None, Some(error)),
    };
    for capability in &message.volume_capabilities {
        let parsed = match capability::parse(Some(capability.clone()), fstype) {
            Err(error @ InvalidRequest::Missing { .. }) => return Err(error),
            parsed => parsed,
        };
        let checked = parsed.and_then(|capability| match &parameters {
            Some(parameters) => parameters.check(&capability.access),
            None => Ok(()),
        });
        problem = problem.or(checked.err());
    }
    Ok(Validation {
        volume_id,
        context,
        capabilities: message.volume_capabilities,
        problem,
    })
}

fn node_id(text: &str) -> Result<NodeId, InvalidRequest> {
    if text.is_empty() {
        return Err(InvalidRequest::missing("node_id"));
    }
    text.parse()
        .map_err(|error| InvalidRequest::value("node_id", text, format!("is not valid: {error}")))
}

/// What the node would refuse of the context and the secrets. Its hostid is not known here.
fn parse_context(
    volume_id: &VolumeId,
    context: &Map,
    secrets: &Map,
    hostnqn: Nqn,
) -> Result<Parameters, InvalidRequest> {
    let named = context.get("hostId").and_then(|id| id.parse().ok());
    let any = || SOME_UUID.parse::<Uuid>().expect("it is written above");
    let hostid = named.unwrap_or_else(any);
    parameters::parse(
        volume_id,
        context,
        secrets,
        &HostIdentity { hostnqn, hostid },
    )
}

/// The host that the context itself names, or any: no node is known yet.
fn any_host(context: &Map) -> Nqn {
    let named = context.get("hostNqn").and_then(|nqn| nqn.parse().ok());
    named.unwrap_or_else(|| {
        let any = format!("nqn.2014-08.org.nvmexpress:uuid:{SOME_UUID}");
        any.parse().expect("it is written here")
    })
}
