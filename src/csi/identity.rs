//! The service Identity: the driver's name, what it offers besides Node, and whether it is ready.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::call::{Calls, Operation};
use super::driver_name::DriverName;
use super::proto;
use super::proto::plugin_capability::service::Type as ServiceType;
use super::proto::plugin_capability::volume_expansion::Type as Expansion;
use super::proto::plugin_capability::{Service, Type, VolumeExpansion};
use super::proto::{
    GetPluginCapabilitiesRequest, GetPluginCapabilitiesResponse, GetPluginInfoRequest,
    GetPluginInfoResponse, PluginCapability, ProbeRequest, ProbeResponse,
};
use crate::report::readiness::Readiness;

/// Which service stands beside Identity on a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Node.
    Node,
    /// Controller.
    Controller,
}

/// Answers for one driver name.
#[derive(Debug, Clone)]
pub struct Identity {
    name: DriverName,
    role: Role,
    readiness: Arc<Readiness>,
    calls: Calls,
}

impl Identity {
    /// Under this name.
    #[must_use]
    pub fn new(name: DriverName, role: Role, readiness: Arc<Readiness>, calls: Calls) -> Identity {
        Identity {
            name,
            role,
            readiness,
            calls,
        }
    }
}

#[tonic::async_trait]
impl proto::identity_server::Identity for Identity {
    async fn get_plugin_info(
        &self,
        _: Request<GetPluginInfoRequest>,
    ) -> Result<Response<GetPluginInfoResponse>, Status> {
        let call = self.calls.begin(Operation::GetPluginInfo, "");
        call.end(Ok(GetPluginInfoResponse {
            name: self.name.to_string(),
            vendor_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..GetPluginInfoResponse::default()
        }))
    }

    async fn get_plugin_capabilities(
        &self,
        _: Request<GetPluginCapabilitiesRequest>,
    ) -> Result<Response<GetPluginCapabilitiesResponse>, Status> {
        let call = self.calls.begin(Operation::GetPluginCapabilities, "");
        let expansion = Type::VolumeExpansion(VolumeExpansion {
            r#type: Expansion::Online.into(),
        });
        let controller = Type::Service(Service {
            r#type: ServiceType::ControllerService.into(),
        });
        // Whoever asks a socket goes on to call what it announces, so each announces its own.
        let types = match self.role {
            Role::Node => vec![expansion],
            Role::Controller => vec![controller, expansion],
        };
        let capabilities = types
            .into_iter()
            .map(|kind| PluginCapability { r#type: Some(kind) });
        call.end(Ok(GetPluginCapabilitiesResponse {
            capabilities: capabilities.collect(),
        }))
    }

    async fn probe(&self, _: Request<ProbeRequest>) -> Result<Response<ProbeResponse>, Status> {
        let call = self.calls.begin(Operation::Probe, "");
        // Not whether kubelet has registered it: whoever probes reaches the plugin without that.
        let ready = Some(self.readiness.can_attach());
        call.end(Ok(ProbeResponse { ready }))
    }
}
