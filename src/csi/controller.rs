//! The service Controller, of which there is the attach part: whether a node may have a volume.
//!
//! For a volume that exists on its target nothing has to be done there: publishing checks the
//! request and says no where another node has the volume; unpublishing succeeds. All other calls are
//! UNIMPLEMENTED.

use std::sync::Arc;
use std::time::Duration;

use tonic::{Request, Response, Status};

use super::call::{Calls, Operation};
use super::deadline::time_limit;
use super::proto;
use super::proto::controller_service_capability::rpc::Type as RpcType;
use super::proto::controller_service_capability::{Rpc, Type};
use super::proto::validate_volume_capabilities_response::Confirmed;
use super::proto::{
    ControllerGetCapabilitiesRequest, ControllerGetCapabilitiesResponse,
    ControllerPublishVolumeRequest, ControllerPublishVolumeResponse, ControllerServiceCapability,
    ControllerUnpublishVolumeRequest, ControllerUnpublishVolumeResponse,
    ValidateVolumeCapabilitiesRequest, ValidateVolumeCapabilitiesResponse,
};
use super::request::{self, Validation};
use super::status::Failure;
use crate::cluster::{AdmitError, Cluster, LookError};

/// What this controller does. PUBLISH_READONLY is none of it: nothing at a target changes, so a node
/// that may only read could write all the same.
const CAPABILITIES: [RpcType; 2] = [
    RpcType::PublishUnpublishVolume,
    RpcType::SingleNodeMultiWriter,
];

/// The controller of one driver.
#[derive(Debug, Clone)]
pub struct Controller {
    cluster: Arc<Cluster>,
    calls: Calls,
}

impl Controller {
    /// Admits nodes by what this cluster says.
    #[must_use]
    pub fn new(cluster: Cluster, calls: Calls) -> Controller {
        let cluster = Arc::new(cluster);
        Controller { cluster, calls }
    }

    async fn publish(
        &self,
        message: ControllerPublishVolumeRequest,
        limit: Duration,
    ) -> Result<(), Failure<AdmitError>> {
        let wanted = request::attach(message).map_err(Failure::Invalid)?;
        let admitted = self.cluster.admit(&wanted, limit).await;
        admitted.map_err(Failure::Volume)
    }

    async fn validate(
        &self,
        message: ValidateVolumeCapabilitiesRequest,
        limit: Duration,
    ) -> Result<ValidateVolumeCapabilitiesResponse, Status> {
        let asked = request::validate(message).map_err(Failure::<LookError>::Invalid)?;
        let is_known = self.cluster.knows(&asked.volume_id, limit).await;
        match is_known.map_err(Failure::Volume)? {
            true => Ok(answer(asked)),
            false => Err(Failure::Volume(self.cluster.unknown(asked.volume_id)).into()),
        }
    }
}

fn answer(asked: Validation) -> ValidateVolumeCapabilitiesResponse {
    match asked.problem {
        Some(problem) => ValidateVolumeCapabilitiesResponse {
            message: problem.to_string(),
            ..ValidateVolumeCapabilitiesResponse::default()
        },
        None => ValidateVolumeCapabilitiesResponse {
            confirmed: Some(Confirmed {
                volume_context: asked.context,
                volume_capabilities: asked.capabilities,
                ..Confirmed::default()
            }),
            ..ValidateVolumeCapabilitiesResponse::default()
        },
    }
}

#[tonic::async_trait]
impl proto::controller_server::Controller for Controller {
    async fn controller_publish_volume(
        &self,
        request: Request<ControllerPublishVolumeRequest>,
    ) -> Result<Response<ControllerPublishVolumeResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let operation = Operation::ControllerPublishVolume;
        let call = self.calls.begin(operation, &message.volume_id);
        let done = self.publish(message, time_limit(&metadata)).await;
        let answer = done.map(|()| ControllerPublishVolumeResponse::default());
        call.end(answer.map_err(Status::from))
    }

    async fn controller_unpublish_volume(
        &self,
        request: Request<ControllerUnpublishVolumeRequest>,
    ) -> Result<Response<ControllerUnpublishVolumeResponse>, Status> {
        let message = request.into_inner();
        let operation = Operation::ControllerUnpublishVolume;
        let call = self.calls.begin(operation, &message.volume_id);
        let wanted = request::detach(message).map_err(Failure::<AdmitError>::Invalid);
        let done = wanted.map(|(volume_id, node)| {
            self.cluster.dismiss(&volume_id, node.as_deref());
            ControllerUnpublishVolumeResponse {}
        });
        call.end(done.map_err(Status::from))
    }

    async fn validate_volume_capabilities(
        &self,
        request: Request<ValidateVolumeCapabilitiesRequest>,
    ) -> Result<Response<ValidateVolumeCapabilitiesResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let operation = Operation::ValidateVolumeCapabilities;
        let call = self.calls.begin(operation, &message.volume_id);
        call.end(self.validate(message, time_limit(&metadata)).await)
    }

    async fn controller_get_capabilities(
        &self,
        _: Request<ControllerGetCapabilitiesRequest>,
    ) -> Result<Response<ControllerGetCapabilitiesResponse>, Status> {
        let call = self.calls.begin(Operation::ControllerGetCapabilities, "");
        let capability = |kind: RpcType| ControllerServiceCapability {
            r#type: Some(Type::Rpc(Rpc {
                r#type: kind.into(),
            })),
        };
        call.end(Ok(ControllerGetCapabilitiesResponse {
            capabilities: CAPABILITIES.map(capability).into(),
        }))
    }
}
