//! The service Node: each call is read into a typed request, done in a thread that may block, and
//! answered with what came of it.
//!
//! Invariant: a call is answered before its caller gives up. What was begun by then goes on to its
//! end and keeps its volume locked, so that a retry is ABORTED and not done twice.

use std::sync::Arc;

use nvme_fabrics::HostIdentity;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};

use super::answer;
use super::call::{Call, Calls, Operation};
use super::deadline::time_limit;
use super::invalid::InvalidRequest;
use super::proto;
use super::proto::{
    NodeExpandVolumeRequest, NodeExpandVolumeResponse, NodeGetCapabilitiesRequest,
    NodeGetCapabilitiesResponse, NodeGetInfoRequest, NodeGetInfoResponse,
    NodeGetStorageHealthRequest, NodeGetStorageHealthResponse, NodeGetVolumeHealthRequest,
    NodeGetVolumeHealthResponse, NodeGetVolumeStatsRequest, NodeGetVolumeStatsResponse,
    NodePublishVolumeRequest, NodePublishVolumeResponse, NodeStageVolumeRequest,
    NodeStageVolumeResponse, NodeUnpublishVolumeRequest, NodeUnpublishVolumeResponse,
    NodeUnstageVolumeRequest, NodeUnstageVolumeResponse,
};
use super::request;
use super::status::{Coded, Failure};
use super::user::User;
use crate::cluster::node_id::{NodeName, node_id};
use crate::host::blocking::{Blocking, Caller};
use crate::report::reporter::Reporter;
use crate::volume::Volumes;

/// The node plugin of one node.
#[derive(Debug, Clone)]
pub struct Node {
    name: NodeName,
    host: HostIdentity,
    volumes: Arc<Volumes>,
    blocking: Blocking,
    calls: Calls,
    reporter: Reporter,
}

impl Node {
    /// Serves these volumes of the host that is `host` to a target and `name` to the cluster.
    #[must_use]
    pub fn new(
        name: NodeName,
        host: HostIdentity,
        volumes: Arc<Volumes>,
        blocking: Blocking,
        calls: Calls,
        reporter: Reporter,
    ) -> Node {
        Node {
            name,
            host,
            volumes,
            blocking,
            calls,
            reporter,
        }
    }

    /// Does `work` in a thread that may block, for as long as the caller waits.
    async fn run<R, T, E>(
        &self,
        call: &Call,
        metadata: &MetadataMap,
        wanted: Result<R, InvalidRequest>,
        work: fn(&Volumes, &R) -> Result<T, E>,
    ) -> Result<T, Status>
    where
        R: Send + 'static,
        T: Send + 'static,
        E: Coded + Send + 'static,
    {
        let work = move |volumes: &Volumes, wanted: &R, _: &Caller| work(volumes, wanted);
        let done = self.carry_out(call, metadata, wanted, work).await;
        done.map_err(Status::from)
    }

    /// The same for a call that gives a volume to a user, who hears of it when it fails.
    async fn mount<R, E>(
        &self,
        (call, user): (&Call, User),
        metadata: &MetadataMap,
        wanted: Result<R, InvalidRequest>,
        work: fn(&Volumes, &R, &Caller) -> Result<(), E>,
    ) -> Result<(), Status>
    where
        R: Send + 'static,
        E: Coded + Send + 'static,
    {
        let done = self.carry_out(call, metadata, wanted, work).await;
        done.map_err(|failure| {
            let reason = failure.reason();
            let status = Status::from(failure);
            // kubelet's own retry of a call that still runs.
            if status.code() != Code::Aborted {
                self.reporter
                    .hand_on(user.outcome(reason, status.message()));
            }
            status
        })
    }

    async fn carry_out<R, T, E>(
        &self,
        call: &Call,
        metadata: &MetadataMap,
        wanted: Result<R, InvalidRequest>,
        work: impl FnOnce(&Volumes, &R, &Caller) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Failure<E>>
    where
        R: Send + 'static,
        T: Send + 'static,
        E: Coded + Send + 'static,
    {
        let wanted = wanted.map_err(Failure::Invalid)?;
        let volumes = Arc::clone(&self.volumes);
        let limit = time_limit(metadata);
        let job = move |caller: &Caller| work(&volumes, &wanted, caller);
        let ended = self
            .blocking
            .run_for(limit, call.operation().as_str(), job)
            .await;
        ended.map_err(Failure::Blocked)?.map_err(Failure::Volume)
    }
}

#[tonic::async_trait]
impl proto::node_server::Node for Node {
    async fn node_stage_volume(
        &self,
        request: Request<NodeStageVolumeRequest>,
    ) -> Result<Response<NodeStageVolumeResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let call = self
            .calls
            .begin(Operation::NodeStageVolume, &message.volume_id);
        let user = User::of(&message.volume_id, &message.volume_context);
        let wanted = request::stage(message, &self.host);
        let done = self
            .mount((&call, user), &metadata, wanted, Volumes::stage_for)
            .await;
        call.end(done.map(|()| NodeStageVolumeResponse {}))
    }

    async fn node_unstage_volume(
        &self,
        request: Request<NodeUnstageVolumeRequest>,
    ) -> Result<Response<NodeUnstageVolumeResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let call = self
            .calls
            .begin(Operation::NodeUnstageVolume, &message.volume_id);
        let wanted = request::unstage(message);
        let done = self.run(&call, &metadata, wanted, Volumes::unstage).await;
        call.end(done.map(|()| NodeUnstageVolumeResponse {}))
    }

    async fn node_publish_volume(
        &self,
        request: Request<NodePublishVolumeRequest>,
    ) -> Result<Response<NodePublishVolumeResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let call = self
            .calls
            .begin(Operation::NodePublishVolume, &message.volume_id);
        let user = User::of(&message.volume_id, &message.volume_context);
        let wanted = request::publish(message);
        let done = self
            .mount((&call, user), &metadata, wanted, |volumes, wanted, _| {
                volumes.publish(wanted)
            })
            .await;
        call.end(done.map(|()| NodePublishVolumeResponse {}))
    }

    async fn node_unpublish_volume(
        &self,
        request: Request<NodeUnpublishVolumeRequest>,
    ) -> Result<Response<NodeUnpublishVolumeResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let call = self
            .calls
            .begin(Operation::NodeUnpublishVolume, &message.volume_id);
        let wanted = request::unpublish(message);
        let done = self.run(&call, &metadata, wanted, Volumes::unpublish).await;
        call.end(done.map(|()| NodeUnpublishVolumeResponse {}))
    }

    async fn node_get_volume_stats(
        &self,
        request: Request<NodeGetVolumeStatsRequest>,
    ) -> Result<Response<NodeGetVolumeStatsResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let call = self
            .calls
            .begin(Operation::NodeGetVolumeStats, &message.volume_id);
        let wanted = request::stats(message);
        let stats = self
            .run(&call, &metadata, wanted, |volumes, (id, path)| {
                volumes.stats(id, path)
            })
            .await;
        call.end(stats.map(answer::stats))
    }

    async fn node_get_volume_health(
        &self,
        request: Request<NodeGetVolumeHealthRequest>,
    ) -> Result<Response<NodeGetVolumeHealthResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let volume_id = message.volume_id.clone();
        let call = self.calls.begin(Operation::NodeGetVolumeHealth, &volume_id);
        let wanted = request::health(message);
        let entries = self.run(&call, &metadata, wanted, Volumes::health).await;
        call.end(entries.map(|entries| answer::volume_health(volume_id, entries)))
    }

    async fn node_get_storage_health(
        &self,
        request: Request<NodeGetStorageHealthRequest>,
    ) -> Result<Response<NodeGetStorageHealthResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let call = self.calls.begin(Operation::NodeGetStorageHealth, "");
        let wanted = request::storage_health(&message);
        let entries = self
            .run(&call, &metadata, wanted, |volumes, ()| {
                volumes.storage_health()
            })
            .await;
        call.end(entries.map(answer::storage_health))
    }

    async fn node_expand_volume(
        &self,
        request: Request<NodeExpandVolumeRequest>,
    ) -> Result<Response<NodeExpandVolumeResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let call = self
            .calls
            .begin(Operation::NodeExpandVolume, &message.volume_id);
        let wanted = request::expand(message);
        let bytes = self.run(&call, &metadata, wanted, Volumes::expand).await;
        call.end(bytes.map(|bytes| NodeExpandVolumeResponse {
            capacity_bytes: answer::signed(bytes),
        }))
    }

    async fn node_get_capabilities(
        &self,
        _: Request<NodeGetCapabilitiesRequest>,
    ) -> Result<Response<NodeGetCapabilitiesResponse>, Status> {
        let call = self.calls.begin(Operation::NodeGetCapabilities, "");
        call.end(Ok(answer::capabilities()))
    }

    async fn node_get_info(
        &self,
        _: Request<NodeGetInfoRequest>,
    ) -> Result<Response<NodeGetInfoResponse>, Status> {
        let call = self.calls.begin(Operation::NodeGetInfo, "");
        let id = node_id(&self.name, &self.host.hostnqn);
        let id = id.map_err(|error| Failure::Volume(error).into());
        call.end(id.map(|node_id| NodeGetInfoResponse {
            node_id,
            ..NodeGetInfoResponse::default()
        }))
    }
}
