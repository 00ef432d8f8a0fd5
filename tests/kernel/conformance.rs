//! What csi-sanity needs besides a node plugin: a controller that makes real volumes on nvmet.
//!
//! One socket serves all three services: Identity and Node are the plugin's own answers, handed through, with
//! CONTROLLER_SERVICE announced on top.

use std::collections::HashMap;
use std::fs;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use kernel_lab::guest::nvmet::{self, Port, Subsystem};
use nvmeof_csi::csi::proto as csi;
use nvmeof_csi::csi::proto::controller_server::{Controller, ControllerServer};
use nvmeof_csi::csi::proto::identity_client::IdentityClient;
use nvmeof_csi::csi::proto::identity_server::{Identity, IdentityServer};
use nvmeof_csi::csi::proto::node_client::NodeClient;
use nvmeof_csi::csi::proto::node_server::{Node, NodeServer};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};

use crate::plugin;
use crate::scene::{Scene, target};

type Answer<T> = Result<Response<T>, Status>;

/// Serves until the case ends, on a thread of its own.
pub(crate) fn serve(scene: Scene, socket: &'static str) {
    let listener = StdUnixListener::bind(socket).expect("the socket");
    listener.set_nonblocking(true).expect("a socket for tokio");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let channel = plugin::connect(plugin::SOCKET)
                .await
                .expect("the plugin listens");
            let listener = UnixListener::from_std(listener).expect("a socket for tokio");
            Server::builder()
                .add_service(IdentityServer::new(Through(channel.clone())))
                .add_service(NodeServer::new(Through(channel)))
                .add_service(ControllerServer::new(Target::new(scene)))
                .serve_with_incoming(UnixListenerStream::new(listener))
                .await
                .expect("the server");
        });
    });
}

/// Hands every call through to the plugin.
struct Through(Channel);

#[tonic::async_trait]
impl Identity for Through {
    async fn get_plugin_info(
        &self,
        request: Request<csi::GetPluginInfoRequest>,
    ) -> Answer<csi::GetPluginInfoResponse> {
        IdentityClient::new(self.0.clone())
            .get_plugin_info(request)
            .await
    }

    async fn get_plugin_capabilities(
        &self,
        request: Request<csi::GetPluginCapabilitiesRequest>,
    ) -> Answer<csi::GetPluginCapabilitiesResponse> {
        use csi::plugin_capability::{Service, Type, service};
        let mut answer = IdentityClient::new(self.0.clone())
            .get_plugin_capabilities(request)
            .await?;
        let service = Service {
            r#type: service::Type::ControllerService.into(),
        };
        answer.get_mut().capabilities.push(csi::PluginCapability {
            r#type: Some(Type::Service(service)),
        });
        Ok(answer)
    }

    async fn probe(&self, request: Request<csi::ProbeRequest>) -> Answer<csi::ProbeResponse> {
        IdentityClient::new(self.0.clone()).probe(request).await
    }
}

#[tonic::async_trait]
impl Node for Through {
    async fn node_stage_volume(
        &self,
        request: Request<csi::NodeStageVolumeRequest>,
    ) -> Answer<csi::NodeStageVolumeResponse> {
        NodeClient::new(self.0.clone())
            .node_stage_volume(request)
            .await
    }

    async fn node_unstage_volume(
        &self,
        request: Request<csi::NodeUnstageVolumeRequest>,
    ) -> Answer<csi::NodeUnstageVolumeResponse> {
        NodeClient::new(self.0.clone())
            .node_unstage_volume(request)
            .await
    }

    async fn node_publish_volume(
        &self,
        request: Request<csi::NodePublishVolumeRequest>,
    ) -> Answer<csi::NodePublishVolumeResponse> {
        NodeClient::new(self.0.clone())
            .node_publish_volume(request)
            .await
    }

    async fn node_unpublish_volume(
        &self,
        request: Request<csi::NodeUnpublishVolumeRequest>,
    ) -> Answer<csi::NodeUnpublishVolumeResponse> {
        NodeClient::new(self.0.clone())
            .node_unpublish_volume(request)
            .await
    }

    async fn node_get_volume_stats(
        &self,
        request: Request<csi::NodeGetVolumeStatsRequest>,
    ) -> Answer<csi::NodeGetVolumeStatsResponse> {
        NodeClient::new(self.0.clone())
            .node_get_volume_stats(request)
            .await
    }

    async fn node_get_volume_health(
        &self,
        request: Request<csi::NodeGetVolumeHealthRequest>,
    ) -> Answer<csi::NodeGetVolumeHealthResponse> {
        NodeClient::new(self.0.clone())
            .node_get_volume_health(request)
            .await
    }

    async fn node_get_storage_health(
        &self,
        request: Request<csi::NodeGetStorageHealthRequest>,
    ) -> Answer<csi::NodeGetStorageHealthResponse> {
        NodeClient::new(self.0.clone())
            .node_get_storage_health(request)
            .await
    }

    async fn node_expand_volume(
        &self,
        request: Request<csi::NodeExpandVolumeRequest>,
    ) -> Answer<csi::NodeExpandVolumeResponse> {
        NodeClient::new(self.0.clone())
            .node_expand_volume(request)
            .await
    }

    async fn node_get_capabilities(
        &self,
        request: Request<csi::NodeGetCapabilitiesRequest>,
    ) -> Answer<csi::NodeGetCapabilitiesResponse> {
        NodeClient::new(self.0.clone())
            .node_get_capabilities(request)
            .await
    }

    async fn node_get_info(
        &self,
        request: Request<csi::NodeGetInfoRequest>,
    ) -> Answer<csi::NodeGetInfoResponse> {
        NodeClient::new(self.0.clone()).node_get_info(request).await
    }
}

/// Volumes as namespaces of nvmet, one subsystem each, all on one port.
struct Target {
    scene: Scene,
    volumes: Mutex<HashMap<String, Made>>,
}

#[derive(Clone)]
struct Made {
    subsystem: Subsystem,
    port: Port,
    file: PathBuf,
    volume: csi::Volume,
}

/// What the suite creates when it names no size.
const DEFAULT_BYTES: i64 = 64 << 20;

impl Target {
    fn new(scene: Scene) -> Self {
        Self {
            scene,
            volumes: Mutex::default(),
        }
    }

    fn make(&self, name: &str, bytes: i64, number: u16) -> std::io::Result<Made> {
        let file = PathBuf::from(format!("/tmp/{number}.img"));
        nvmet::backing_file(&file, u64::try_from(bytes).map_err(std::io::Error::other)?)?;
        let uuid = format!("33333333-3333-4333-8333-{number:012}");
        let subsystem = Subsystem::create(&format!("nqn.2026-01.org.example:sanity-{number}"))?;
        subsystem.add_namespace(1, &file, &uuid)?;
        let service = 4500 + number;
        let port = self.scene.listen(number, target(0), service, &[&subsystem]);
        let context = [
            ("nqn", subsystem.nqn.clone()),
            ("addresses", format!("{}:{service}", target(0))),
            ("namespaceUUID", uuid),
        ];
        let volume = csi::Volume {
            capacity_bytes: bytes,
            volume_id: name.to_owned(),
            volume_context: context.map(|(key, value)| (key.to_owned(), value)).into(),
            ..csi::Volume::default()
        };
        Ok(Made {
            subsystem,
            port,
            file,
            volume,
        })
    }

    fn unmake(made: &Made) -> std::io::Result<()> {
        made.port.withdraw(&made.subsystem)?;
        made.port.remove()?;
        made.subsystem.remove_namespace(1)?;
        made.subsystem.remove()?;
        fs::remove_file(&made.file)
    }
}

#[tonic::async_trait]
impl Controller for Target {
    async fn create_volume(
        &self,
        request: Request<csi::CreateVolumeRequest>,
    ) -> Answer<csi::CreateVolumeResponse> {
        let request = request.into_inner();
        if request.name.is_empty() || request.volume_capabilities.is_empty() {
            return Err(Status::invalid_argument(
                "name and volume_capabilities are required",
            ));
        }
        let range = request.capacity_range.unwrap_or_default();
        let bytes = range.required_bytes.max(DEFAULT_BYTES);
        let mut volumes = self.volumes.lock().expect("no panic holds the lock");
        if let Some(made) = volumes.get(&request.name) {
            return match made.volume.capacity_bytes == bytes {
                true => Ok(Response::new(csi::CreateVolumeResponse {
                    volume: Some(made.volume.clone()),
                })),
                false => Err(Status::already_exists("the volume has another size")),
            };
        }
        let number = (1..)
            .find(|number| !Path::new(&format!("/tmp/{number}.img")).exists())
            .expect("a free number");
        let made = self
            .make(&request.name, bytes, number)
            .map_err(|error| Status::internal(error.to_string()))?;
        let volume = made.volume.clone();
        volumes.insert(request.name, made);
        Ok(Response::new(csi::CreateVolumeResponse {
            volume: Some(volume),
        }))
    }

    async fn delete_volume(
        &self,
        request: Request<csi::DeleteVolumeRequest>,
    ) -> Answer<csi::DeleteVolumeResponse> {
        let request = request.into_inner();
        if request.volume_id.is_empty() {
            return Err(Status::invalid_argument("volume_id is required"));
        }
        let made = self
            .volumes
            .lock()
            .expect("no panic holds the lock")
            .remove(&request.volume_id);
        if let Some(made) = made {
            Target::unmake(&made).map_err(|error| Status::internal(error.to_string()))?;
        }
        Ok(Response::new(csi::DeleteVolumeResponse {}))
    }

    async fn validate_volume_capabilities(
        &self,
        request: Request<csi::ValidateVolumeCapabilitiesRequest>,
    ) -> Answer<csi::ValidateVolumeCapabilitiesResponse> {
        use csi::validate_volume_capabilities_response::Confirmed;
        let request = request.into_inner();
        if request.volume_id.is_empty() || request.volume_capabilities.is_empty() {
            return Err(Status::invalid_argument(
                "volume_id and volume_capabilities are required",
            ));
        }
        if !self
            .volumes
            .lock()
            .expect("no panic holds the lock")
            .contains_key(&request.volume_id)
        {
            return Err(Status::not_found("no such volume"));
        }
        let confirmed = Confirmed {
            volume_capabilities: request.volume_capabilities,
            ..Confirmed::default()
        };
        Ok(Response::new(csi::ValidateVolumeCapabilitiesResponse {
            confirmed: Some(confirmed),
            ..csi::ValidateVolumeCapabilitiesResponse::default()
        }))
    }

    async fn controller_get_capabilities(
        &self,
        _: Request<csi::ControllerGetCapabilitiesRequest>,
    ) -> Answer<csi::ControllerGetCapabilitiesResponse> {
        use csi::controller_service_capability::{Rpc, Type, rpc};
        let can = |what: rpc::Type| csi::ControllerServiceCapability {
            r#type: Some(Type::Rpc(Rpc {
                r#type: what.into(),
            })),
        };
        let capabilities = vec![
            can(rpc::Type::CreateDeleteVolume),
            can(rpc::Type::ExpandVolume),
        ];
        Ok(Response::new(csi::ControllerGetCapabilitiesResponse {
            capabilities,
        }))
    }

    async fn controller_expand_volume(
        &self,
        request: Request<csi::ControllerExpandVolumeRequest>,
    ) -> Answer<csi::ControllerExpandVolumeResponse> {
        let request = request.into_inner();
        let range = request
            .capacity_range
            .ok_or_else(|| Status::invalid_argument("capacity_range is required"))?;
        if request.volume_id.is_empty() {
            return Err(Status::invalid_argument("volume_id is required"));
        }
        let mut volumes = self.volumes.lock().expect("no panic holds the lock");
        let made = volumes
            .get_mut(&request.volume_id)
            .ok_or_else(|| Status::not_found("no such volume"))?;
        let bytes = made.volume.capacity_bytes.max(range.required_bytes);
        let length =
            u64::try_from(bytes).map_err(|error| Status::out_of_range(error.to_string()))?;
        made.subsystem
            .grow(1, &made.file, length)
            .map_err(|error| Status::internal(error.to_string()))?;
        made.volume.capacity_bytes = bytes;
        Ok(Response::new(csi::ControllerExpandVolumeResponse {
            capacity_bytes: bytes,
            node_expansion_required: true,
        }))
    }
}
