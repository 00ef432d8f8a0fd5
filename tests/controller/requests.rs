//! Requests of the controller that are good as they are, and a channel to its socket.

use std::path::Path;

use hyper_util::rt::TokioIo;
use nvmeof_csi::csi::proto::volume_capability::access_mode::Mode;
use nvmeof_csi::csi::proto::volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume};
use nvmeof_csi::csi::proto::{ControllerPublishVolumeRequest, VolumeCapability};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

pub(crate) const VOLUME: &str = "volume-1";

/// Connects to a socket, which must be there.
pub(crate) async fn channel(socket: &Path) -> Channel {
    let socket = socket.to_owned();
    let connect = move |_| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    };
    let endpoint = Endpoint::from_static("http://csi");
    let channel = endpoint.connect_with_connector(tower::service_fn(connect));
    channel.await.expect("it listens")
}

pub(crate) fn hostnqn(node: &str) -> String {
    format!("nqn.2026-01.org.example:host-{node}")
}

pub(crate) fn node_id(node: &str) -> String {
    format!("{node}/{}", hostnqn(node))
}

pub(crate) fn capability(access: AccessType, mode: Mode) -> Option<VolumeCapability> {
    Some(VolumeCapability {
        access_type: Some(access),
        access_mode: Some(AccessMode { mode: mode.into() }),
    })
}

pub(crate) fn filesystem(mode: Mode) -> Option<VolumeCapability> {
    capability(AccessType::Mount(MountVolume::default()), mode)
}

pub(crate) fn block(mode: Mode) -> Option<VolumeCapability> {
    capability(AccessType::Block(BlockVolume {}), mode)
}

pub(crate) fn context() -> Vec<(&'static str, &'static str)> {
    vec![
        ("nqn", "nqn.2026-01.org.example:volume-1"),
        ("addresses", "10.0.0.2"),
    ]
}

/// ReadWriteOnce, as the attacher translates it for a driver with SINGLE_NODE_MULTI_WRITER.
pub(crate) fn publish(node: &str) -> ControllerPublishVolumeRequest {
    let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    ControllerPublishVolumeRequest {
        volume_id: VOLUME.to_owned(),
        node_id: node_id(node),
        volume_capability: filesystem(Mode::SingleNodeMultiWriter),
        volume_context: context().into_iter().map(own).collect(),
        ..ControllerPublishVolumeRequest::default()
    }
}
