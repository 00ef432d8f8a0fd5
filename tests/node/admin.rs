//! The admin address.

use std::fs;

use nvmeof_csi::csi::proto::{NodeGetInfoRequest, ProbeRequest};

use crate::machine::Machine;
use crate::plugin::{Running, ask};
use crate::requests;

#[tokio::test]
async fn ready_names_what_is_missing_and_what_to_do() {
    let machine = Machine::new("trixie-one-path");
    let running = Running::on(machine, |options| options.registration_dir = None).await;
    let answer = running.get("/ready").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    for words in [
        "nvme-fabrics",
        "/etc/modules-load.d/nvmeof-csi.conf",
        "nvme-tcp",
        "hostPID",
    ] {
        assert!(answer.contains(words), "{words} in {answer}");
    }
    let root = running.machine.root();
    fs::create_dir_all(root.join("sys/module/nvme_fabrics")).expect("a module");
    fs::write(root.join("dev/nvme-fabrics"), "").expect("a device");
    let answer = running.get("/ready").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("\r\n\r\nready\n"), "{answer}");
}

#[tokio::test]
async fn live_answers_and_other_paths_and_methods_do_not() {
    let running = Running::start().await;
    let answer = running.get("/live").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let answer = running.get("/").await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    let address = running.options.admin_address.expect("it is served");
    let answer = tokio::task::spawn_blocking(move || ask(address, "POST", "/metrics"));
    let answer = answer.await.expect("no panic");
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
}

#[tokio::test]
async fn an_address_left_empty_is_not_served() {
    let machine = Machine::new("trixie-one-path");
    let address = crate::plugin::free_address();
    let running = Running::on(machine, |options| {
        options.admin_address = None;
        options.registration_dir = None;
    })
    .await;
    std::net::TcpStream::connect(address).expect_err("nobody listens");
    let registry = running.machine.kubelet_dir().join("plugins_registry");
    assert!(!registry.exists());
    running
        .identity()
        .await
        .probe(ProbeRequest {})
        .await
        .expect("the CSI is served");
}

#[tokio::test]
async fn calls_are_counted_by_name_and_code() {
    let running = Running::start().await;
    let mut node = running.node().await;
    node.node_get_info(NodeGetInfoRequest {})
        .await
        .expect("info");
    let mut wrong = requests::stage(&running.machine);
    wrong.volume_id.clear();
    for _ in 0..2 {
        node.node_stage_volume(wrong.clone())
            .await
            .expect_err("no id");
    }
    for (name, value) in [
        (
            "nvmeof_csi_operations_total{operation=\"NodeGetInfo\",code=\"OK\"}",
            "1",
        ),
        (
            "nvmeof_csi_operations_total{operation=\"NodeStageVolume\",code=\"INVALID_ARGUMENT\"}",
            "2",
        ),
        (
            "nvmeof_csi_operation_duration_seconds_count{operation=\"NodeStageVolume\"}",
            "2",
        ),
    ] {
        assert_eq!(running.metric(name).await.as_deref(), Some(value), "{name}");
    }
}

#[tokio::test]
async fn connects_and_controllers_are_counted() {
    let running = Running::start().await;
    let mut node = running.node().await;
    let live = "nvmeof_csi_controllers{state=\"live\"}";
    assert_eq!(running.metric(live).await, None);
    let stage = requests::stage(&running.machine);
    node.node_stage_volume(stage.clone()).await.expect("staged");
    node.node_stage_volume(stage).await.expect("staged already");
    for (name, value) in [
        (live, "1"),
        ("nvmeof_csi_connects_total{result=\"created\"}", "1"),
        ("nvmeof_csi_connects_total{result=\"adopted\"}", "1"),
        ("nvmeof_csi_connect_duration_seconds_count", "2"),
    ] {
        assert_eq!(running.metric(name).await.as_deref(), Some(value), "{name}");
    }
    let unstage = requests::unstage(&running.machine);
    node.node_unstage_volume(unstage).await.expect("unstaged");
    running.machine.host.silence("4420");
    let stage = requests::stage(&running.machine);
    node.node_stage_volume(stage).await.expect_err("no answer");
    let failed = "nvmeof_csi_connects_total{result=\"failed\"}";
    assert_eq!(running.metric(failed).await.as_deref(), Some("1"));
}
