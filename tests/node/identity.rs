//! The service Identity, and what the node says of itself.

use std::fs;

use nvmeof_csi::csi::proto::node_service_capability::Type as NodeCapability;
use nvmeof_csi::csi::proto::node_service_capability::rpc::Type as Rpc;
use nvmeof_csi::csi::proto::plugin_capability::Type as Capability;
use nvmeof_csi::csi::proto::plugin_capability::volume_expansion::Type as Expansion;
use nvmeof_csi::csi::proto::{
    GetPluginCapabilitiesRequest, GetPluginInfoRequest, NodeGetCapabilitiesRequest,
    NodeGetInfoRequest, ProbeRequest,
};
use tonic::Code;

use crate::machine::Machine;
use crate::plugin::{Running, hostnqn};

#[tokio::test]
async fn the_plugin_has_the_name_that_it_was_given() {
    let running = Running::start().await;
    let mut identity = running.identity().await;
    let info = identity.get_plugin_info(GetPluginInfoRequest {}).await;
    let info = info.expect("info").into_inner();
    assert_eq!(info.name, "test.csi");
    assert_eq!(info.vendor_version, env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn without_a_controller_volumes_can_grow_online_and_nothing_else() {
    let running = Running::start().await;
    let mut identity = running.identity().await;
    let answer = identity
        .get_plugin_capabilities(GetPluginCapabilitiesRequest {})
        .await;
    let capabilities = answer.expect("capabilities").into_inner().capabilities;
    assert_eq!(capabilities.len(), 1);
    match &capabilities[0].r#type {
        Some(Capability::VolumeExpansion(growth)) => assert_eq!(growth.r#type(), Expansion::Online),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn probe_is_ready_as_soon_as_the_machine_is() {
    let running = Running::start().await;
    let mut identity = running.identity().await;
    let mut ready = async || {
        let answer = identity.probe(ProbeRequest {}).await.expect("an answer");
        answer.into_inner().ready
    };
    assert_eq!(ready().await, Some(false), "the module is not loaded");
    let root = running.machine.root();
    fs::create_dir_all(root.join("sys/module/nvme_fabrics")).expect("a module");
    fs::write(root.join("dev/nvme-fabrics"), "").expect("a device");
    assert_eq!(ready().await, Some(true));
}

#[tokio::test]
async fn the_node_announces_what_both_generations_of_kubelet_use() {
    let running = Running::start().await;
    let answer = running
        .node()
        .await
        .node_get_capabilities(NodeGetCapabilitiesRequest {})
        .await;
    let capabilities = answer.expect("capabilities").into_inner().capabilities;
    let rpcs: Vec<Rpc> = capabilities
        .iter()
        .map(|capability| match &capability.r#type {
            Some(NodeCapability::Rpc(rpc)) => rpc.r#type(),
            None => Rpc::Unknown,
        })
        .collect();
    let expected = [
        Rpc::StageUnstageVolume,
        Rpc::GetVolumeStats,
        Rpc::ExpandVolume,
        Rpc::VolumeCondition,
        Rpc::SingleNodeMultiWriter,
        Rpc::GetVolumeHealth,
        Rpc::GetStorageHealth,
    ];
    assert_eq!(rpcs, expected);
}

#[tokio::test]
async fn the_nodes_id_is_its_name_and_its_nqn() {
    let running = Running::start().await;
    let answer = running
        .node()
        .await
        .node_get_info(NodeGetInfoRequest {})
        .await;
    let info = answer.expect("info").into_inner();
    assert_eq!(info.node_id, format!("worker-1/{}", hostnqn()));
    assert_eq!(info.max_volumes_per_node, 0);
    assert_eq!(info.accessible_topology, None);
}

#[tokio::test]
async fn an_id_longer_than_the_interface_allows_is_an_error_that_says_so() {
    let machine = Machine::new("trixie-one-path");
    let running = Running::on(machine, |options| {
        options.node_name = "n".repeat(200).parse().expect("a name");
    })
    .await;
    let answer = running
        .node()
        .await
        .node_get_info(NodeGetInfoRequest {})
        .await;
    let status = answer.expect_err("too long");
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("at most 256"), "{status}");
}

#[tokio::test]
async fn a_service_that_is_not_there_is_unimplemented() {
    use nvmeof_csi::csi::proto::ListVolumesRequest;
    use nvmeof_csi::csi::proto::controller_client::ControllerClient;

    let running = Running::start().await;
    let channel = crate::plugin::channel(running.endpoint()).await;
    let answer = ControllerClient::new(channel)
        .list_volumes(ListVolumesRequest::default())
        .await;
    let status = answer.expect_err("no controller");
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(
        status.message().contains("/csi.v1.Controller/ListVolumes"),
        "{status}"
    );
}
