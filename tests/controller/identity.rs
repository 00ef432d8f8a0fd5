//! What the controller says of itself.

use nvmeof_csi::csi::proto::controller_service_capability::Type as ControllerCapability;
use nvmeof_csi::csi::proto::controller_service_capability::rpc::Type as Rpc;
use nvmeof_csi::csi::proto::node_client::NodeClient;
use nvmeof_csi::csi::proto::plugin_capability::Type as Capability;
use nvmeof_csi::csi::proto::plugin_capability::service::Type as Service;
use nvmeof_csi::csi::proto::plugin_capability::volume_expansion::Type as Expansion;
use nvmeof_csi::csi::proto::*;
use tonic::{Code, Response, Status};

use crate::scene::{DRIVER, Scene};

#[tokio::test]
async fn the_controller_has_the_drivers_name_and_announces_itself() {
    let scene = Scene::new().await;
    let mut identity = scene.identity().await;
    let info = identity.get_plugin_info(GetPluginInfoRequest {}).await;
    let info = info.expect("info").into_inner();
    assert_eq!(info.name, DRIVER);
    assert_eq!(info.vendor_version, env!("CARGO_PKG_VERSION"));
    let answer = identity
        .get_plugin_capabilities(GetPluginCapabilitiesRequest {})
        .await;
    let capabilities = answer.expect("capabilities").into_inner().capabilities;
    let [service, growth] = capabilities.as_slice() else {
        panic!("{capabilities:?}");
    };
    match (&service.r#type, &growth.r#type) {
        (Some(Capability::Service(service)), Some(Capability::VolumeExpansion(growth))) => {
            assert_eq!(service.r#type(), Service::ControllerService);
            assert_eq!(growth.r#type(), Expansion::Online);
        }
        other => panic!("{other:?}"),
    }
    let ready = identity.probe(ProbeRequest {}).await.expect("an answer");
    assert_eq!(ready.into_inner().ready, Some(true));
}

#[tokio::test]
async fn the_controller_attaches_and_does_nothing_else() {
    let scene = Scene::new().await;
    let mut controller = scene.controller().await;
    let answer = controller
        .controller_get_capabilities(ControllerGetCapabilitiesRequest {})
        .await;
    let capabilities = answer.expect("capabilities").into_inner().capabilities;
    let rpcs: Vec<Rpc> = capabilities
        .iter()
        .map(|capability| match &capability.r#type {
            Some(ControllerCapability::Rpc(rpc)) => rpc.r#type(),
            None => Rpc::Unknown,
        })
        .collect();
    assert_eq!(
        rpcs,
        [Rpc::PublishUnpublishVolume, Rpc::SingleNodeMultiWriter]
    );
    unimplemented(
        controller
            .create_volume(CreateVolumeRequest::default())
            .await,
    );
    unimplemented(
        controller
            .delete_volume(DeleteVolumeRequest::default())
            .await,
    );
    unimplemented(controller.list_volumes(ListVolumesRequest::default()).await);
    unimplemented(controller.get_capacity(GetCapacityRequest::default()).await);
    unimplemented(
        controller
            .create_snapshot(CreateSnapshotRequest::default())
            .await,
    );
    unimplemented(
        controller
            .delete_snapshot(DeleteSnapshotRequest::default())
            .await,
    );
    unimplemented(
        controller
            .list_snapshots(ListSnapshotsRequest::default())
            .await,
    );
    let expand = ControllerExpandVolumeRequest::default();
    unimplemented(controller.controller_expand_volume(expand).await);
    let get = ControllerGetVolumeRequest::default();
    unimplemented(controller.controller_get_volume(get).await);
    let modify = ControllerModifyVolumeRequest::default();
    unimplemented(controller.controller_modify_volume(modify).await);
    let channel = scene.channel().await;
    let mut node = NodeClient::new(channel);
    unimplemented(node.node_get_info(NodeGetInfoRequest {}).await);
}

fn unimplemented<T: std::fmt::Debug>(answer: Result<Response<T>, Status>) {
    let status = answer.expect_err("it does not do that");
    assert_eq!(status.code(), Code::Unimplemented, "{status}");
}
