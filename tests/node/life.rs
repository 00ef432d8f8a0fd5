//! A volume from its first call to its last, over the wire.

use std::path::PathBuf;

use nvmeof_csi::csi::proto::volume_usage::Unit;
use nvmeof_csi::csi::proto::{
    NodeGetStorageHealthRequest, NodeGetVolumeHealthRequest, StorageHealthErrorType,
    VolumeHealthErrorType,
};
use nvmeof_csi::host::{Access, Host as _};

use crate::machine::{Machine, PV};
use crate::plugin::Running;
use crate::requests::{self, block};

#[tokio::test]
async fn a_filesystem_volume_is_staged_published_and_taken_away_however_often_each_is_said() {
    let running = Running::start().await;
    let mut node = running.node().await;
    let machine = &running.machine;
    for _ in 0..2 {
        let stage = requests::stage(machine);
        node.node_stage_volume(stage).await.expect("staged");
    }
    for _ in 0..2 {
        let publish = requests::publish(machine);
        node.node_publish_volume(publish).await.expect("published");
    }
    assert_eq!(machine.mounts_at(&machine.staging()).len(), 1);
    assert_eq!(machine.mounts_at(&machine.target("pod-1")).len(), 1);
    for _ in 0..2 {
        let unpublish = requests::unpublish(machine);
        node.node_unpublish_volume(unpublish)
            .await
            .expect("unpublished");
    }
    for _ in 0..2 {
        let unstage = requests::unstage(machine);
        node.node_unstage_volume(unstage).await.expect("unstaged");
    }
    assert!(machine.host.connected().is_empty());
    assert!(
        machine.state_files().is_empty(),
        "{:?}",
        machine.state_files()
    );
}

#[tokio::test]
async fn a_raw_block_volume_is_bound_to_its_target() {
    let running = Running::start().await;
    let mut node = running.node().await;
    let machine = &running.machine;
    let stage = requests::stage_as(machine, block());
    node.node_stage_volume(stage).await.expect("staged");
    let publish = requests::publish_as(machine, block());
    node.node_publish_volume(publish).await.expect("published");
    assert_eq!(machine.mounts_at(&machine.block_target("pod-1")), ["0:6"]);
    let unpublish = requests::unpublish_as(machine, &block());
    node.node_unpublish_volume(unpublish)
        .await
        .expect("unpublished");
}

/// kubelet's own bind mount of the disk that was published, where it asks about it.
fn map_device(machine: &Machine) -> PathBuf {
    let node = machine.kubelet().block_node("pod-1", PV);
    let target = machine.block_target("pod-1");
    let bound = machine.host.bind(&target, &node, Access::ReadWrite, &[]);
    bound.expect("bound");
    node
}

#[tokio::test]
async fn stats_of_a_raw_block_volume_are_its_size_and_a_condition() {
    let running = Running::start().await;
    let mut node = running.node().await;
    let machine = &running.machine;
    let stage = requests::stage_as(machine, block());
    node.node_stage_volume(stage).await.expect("staged");
    let publish = requests::publish_as(machine, block());
    node.node_publish_volume(publish).await.expect("published");
    let stats = requests::stats_at(&map_device(machine));
    let answer = node.node_get_volume_stats(stats).await.expect("stats");
    let answer = answer.into_inner();
    assert_eq!(answer.usage.len(), 1);
    assert_eq!(answer.usage[0].unit(), Unit::Bytes);
    assert!(answer.usage[0].total > 0);
    let condition = answer.volume_condition.expect("a condition");
    assert!(!condition.abnormal, "{}", condition.message);
}

#[tokio::test]
async fn a_volume_without_a_path_is_inaccessible_in_every_answer() {
    let running = Running::start().await;
    let mut node = running.node().await;
    let machine = &running.machine;
    let stage = requests::stage_as(machine, block());
    node.node_stage_volume(stage).await.expect("staged");
    let publish = requests::publish_as(machine, block());
    node.node_publish_volume(publish).await.expect("published");
    let stats = requests::stats_at(&map_device(machine));
    machine.host.power_off();
    let answer = node
        .node_get_volume_stats(stats)
        .await
        .expect("an answer all the same");
    let answer = answer.into_inner();
    assert!(
        !answer.usage.is_empty(),
        "kubelet drops an answer without usage"
    );
    assert!(answer.volume_condition.expect("a condition").abnormal);

    let health = NodeGetVolumeHealthRequest {
        volume_id: requests::VOLUME.to_owned(),
        ..NodeGetVolumeHealthRequest::default()
    };
    let health = node.node_get_volume_health(health).await.expect("health");
    let health = health.into_inner().volume_health.expect("health");
    assert_eq!(health.volume_id, requests::VOLUME);
    assert_eq!(
        health.health_statuses[0].status(),
        VolumeHealthErrorType::Inaccessible
    );
    assert_eq!(health.health_statuses[0].reason, "NoPath");

    let storage = NodeGetStorageHealthRequest::default();
    let storage = node.node_get_storage_health(storage).await.expect("health");
    let storage = storage.into_inner().backend_health;
    assert_eq!(storage.len(), 1);
    assert_eq!(
        storage[0].status(),
        StorageHealthErrorType::StorageUnreachable
    );
}

#[tokio::test]
async fn a_volume_that_nobody_knows_is_healthy() {
    let running = Running::start().await;
    let health = NodeGetVolumeHealthRequest {
        volume_id: "never-staged".to_owned(),
        ..NodeGetVolumeHealthRequest::default()
    };
    let answer = running.node().await.node_get_volume_health(health).await;
    let health = answer
        .expect("OK")
        .into_inner()
        .volume_health
        .expect("health");
    assert_eq!(health.volume_id, "never-staged");
    assert!(health.health_statuses.is_empty());
}

#[tokio::test]
async fn an_expansion_answers_the_size_that_the_volume_has() {
    let running = Running::start().await;
    let mut node = running.node().await;
    let machine = &running.machine;
    let stage = requests::stage(machine);
    node.node_stage_volume(stage).await.expect("staged");
    let answer = node.node_expand_volume(requests::expand(machine, 1)).await;
    let bytes = answer.expect("large enough").into_inner().capacity_bytes;
    let wanted = bytes + (1 << 20);
    machine.host.grow_at_rescan(wanted.unsigned_abs());
    let answer = node
        .node_expand_volume(requests::expand(machine, wanted))
        .await;
    assert_eq!(answer.expect("grown").into_inner().capacity_bytes, wanted);
}

#[tokio::test]
async fn a_restarted_plugin_knows_what_is_staged() {
    let running = Running::start().await;
    let stage = requests::stage(&running.machine);
    running
        .node()
        .await
        .node_stage_volume(stage)
        .await
        .expect("staged");
    let running = Running::on(running.stop().await, |_| {}).await;
    running.machine.host.take_log();
    let mut node = running.node().await;
    let publish = requests::publish(&running.machine);
    node.node_publish_volume(publish).await.expect("published");
    let log = running.machine.host.take_log();
    assert_eq!(log, ["make pod-1", "bind pod-1"]);
}
