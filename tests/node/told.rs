//! What users hear of calls that fail.

use std::sync::Arc;

use nvmeof_csi::csi::call::Calls;
use nvmeof_csi::csi::node::Node;
use nvmeof_csi::csi::proto::node_server::Node as _;
use nvmeof_csi::host::blocking::Blocking;
use nvmeof_csi::report::metrics::Metrics;
use nvmeof_csi::report::outcome::{ClaimRef, PodRef, Reason};
use nvmeof_csi::report::reporter::{Outcomes, Reporter};
use nvmeof_csi::volume::Volumes;
use tonic::Request;

use crate::machine::Machine;
use crate::requests;

/// A node plugin without sockets, and what it tells.
fn node(machine: &Machine) -> (Node, Outcomes) {
    let config = machine.config();
    let host = config.identity.clone();
    let volumes = Arc::new(Volumes::new(config).expect("readable records"));
    let blocking = Blocking::new("call", 1.try_into().expect("not zero")).expect("a thread");
    let calls = Calls::new(Metrics::new(Vec::new()));
    let name = "worker-1".parse().expect("a name");
    let (reporter, outcomes) = Reporter::new();
    let node = Node::new(name, host, volumes, blocking, calls, reporter);
    (node, outcomes)
}

#[tokio::test]
async fn a_target_that_cannot_be_connected_is_told_to_the_claim() {
    let machine = Machine::new("trixie-one-path");
    machine.host.silence("4420");
    let (node, mut outcomes) = node(&machine);
    let mut stage = requests::stage(&machine);
    for (key, value) in [("name", "data"), ("namespace", "shop")] {
        let key = format!("csi.storage.k8s.io/pvc/{key}");
        stage.volume_context.insert(key, value.to_owned());
    }
    let answer = node.node_stage_volume(Request::new(stage)).await;
    let status = answer.expect_err("nobody answers");
    let told = outcomes.next().await.expect("an outcome");
    assert_eq!(told.reason, Reason::ConnectionFailure);
    assert_eq!(told.message, status.message());
    assert_eq!(told.volume_id, requests::VOLUME);
    let claim = ClaimRef {
        namespace: "shop".to_owned(),
        name: "data".to_owned(),
    };
    assert_eq!(told.claim, Some(claim));
}

#[tokio::test]
async fn a_publish_that_fails_is_told_to_the_pod() {
    let machine = Machine::new("trixie-one-path");
    let (node, mut outcomes) = node(&machine);
    let mut publish = requests::publish(&machine);
    for (key, value) in [("name", "db-0"), ("namespace", "shop")] {
        let key = format!("csi.storage.k8s.io/pod.{key}");
        publish.volume_context.insert(key, value.to_owned());
    }
    let answer = node.node_publish_volume(Request::new(publish)).await;
    answer.expect_err("it is not staged");
    let told = outcomes.next().await.expect("an outcome");
    assert_eq!(told.reason, Reason::MountFailure);
    let pod = PodRef {
        namespace: "shop".to_owned(),
        name: "db-0".to_owned(),
        uid: None,
    };
    assert_eq!(told.pods, [pod]);
}

#[tokio::test]
async fn what_succeeds_or_is_no_mount_is_not_told() {
    let machine = Machine::new("trixie-one-path");
    let (node, mut outcomes) = node(&machine);
    let stage = Request::new(requests::stage(&machine));
    node.node_stage_volume(stage).await.expect("staged");
    let expand = Request::new(requests::expand(&machine, i64::MAX));
    let answer = node.node_expand_volume(expand).await;
    answer.expect_err("it is not so large");
    drop(node);
    assert_eq!(outcomes.next().await, None);
}
