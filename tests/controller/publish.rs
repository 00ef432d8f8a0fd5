//! Which node is admitted to a volume that others have, or had.

use nvmeof_csi::csi::proto::volume_capability::access_mode::Mode;
use serde_json::{Value, json};
use tonic::Code;

use crate::api_server::{ATTACHMENTS, NODES, VOLUMES};
use crate::requests::{VOLUME, block, filesystem, node_id, publish};
use crate::scene::{DRIVER, Scene, node, volume};

const SINGLE: [Mode; 4] = [
    Mode::SingleNodeWriter,
    Mode::SingleNodeReaderOnly,
    Mode::SingleNodeSingleWriter,
    Mode::SingleNodeMultiWriter,
];

#[tokio::test]
async fn one_node_is_admitted_however_often_it_asks() {
    let scene = Scene::new().await;
    let name = scene.want("a", 1);
    for _ in 0..2 {
        scene.publish("a").await.expect("the only one");
    }
    scene.mark_attached(&name);
    scene.publish("a").await.expect("it has the volume");
    scene.stop().await;
}

#[tokio::test]
async fn a_second_node_is_refused_in_every_mode_for_one_node_until_the_first_is_gone() {
    let scene = Scene::new().await;
    let first = scene.want("a", 1);
    scene.publish("a").await.expect("the first");
    scene.mark_attached(&first);
    scene.want("b", 2);
    for mode in SINGLE {
        let mut message = publish("b");
        message.volume_capability = filesystem(mode);
        let status = scene.ask(message).await.expect_err("a second node");
        assert_eq!(status.code(), Code::FailedPrecondition, "{mode:?}");
        let words = format!(
            "volume \"volume-1\" is attached to node a, and access mode {} allows one node at a time",
            mode.as_str_name()
        );
        assert_eq!(status.message(), words);
    }
    // Its pod is gone: Kubernetes deletes the object, and the attacher still has to detach.
    scene.cluster.change(ATTACHMENTS, &first, |attachment| {
        attachment["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:01:00Z");
    });
    let message = scene.refused("b", "a").await;
    assert!(message.contains("not yet detached"), "{message}");
    scene
        .unpublish(VOLUME, &node_id("a"))
        .await
        .expect("detached");
    scene.cluster.remove(ATTACHMENTS, &first);
    scene.publish("b").await.expect("nobody has it");
}

#[tokio::test]
async fn what_was_never_marked_as_attached_counts_while_the_attacher_holds_it() {
    let scene = Scene::new().await;
    let first = scene.want("a", 1);
    scene.cluster.change(ATTACHMENTS, &first, |attachment| {
        attachment["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:01:00Z");
    });
    scene.want("b", 2);
    scene.refused("b", "a").await;
    scene.cluster.change(ATTACHMENTS, &first, |attachment| {
        attachment["metadata"]["finalizers"] = json!(["example.com/slow"]);
    });
    scene.publish("b").await.expect("the attacher let it go");
}

#[tokio::test]
async fn a_second_persistent_volume_of_the_same_handle_is_the_same_volume() {
    let scene = Scene::new().await;
    scene
        .cluster
        .put(VOLUMES, volume("copy", VOLUME, "ReadWriteOnce"));
    let first = scene.want("a", 1);
    scene.mark_attached(&first);
    scene.want_by("copy", "b", 2);
    scene.refused("b", "a").await;
    // The other way round, and a copy that says it may be shared, is no way in either.
    scene
        .cluster
        .put(VOLUMES, volume("copy", VOLUME, "ReadWriteMany"));
    let mut message = publish("b");
    message.volume_capability = block(Mode::MultiNodeMultiWriter);
    let status = scene.ask(message).await.expect_err("promised to one node");
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
}

#[tokio::test]
async fn a_volume_is_for_one_node_if_any_of_its_persistent_volumes_says_so() {
    let scene = Scene::new().await;
    scene
        .cluster
        .put(VOLUMES, volume("copy", VOLUME, "ReadWriteMany"));
    // `data`, which is for one node, is not named by either.
    let first = scene.want_by("copy", "a", 1);
    scene.mark_attached(&first);
    scene.want_by("copy", "b", 2);
    let mut message = publish("b");
    message.volume_capability = block(Mode::MultiNodeMultiWriter);
    let status = scene.ask(message).await.expect_err("promised to one node");
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    assert_eq!(
        status.message(),
        "volume \"volume-1\" is attached to node a, and PersistentVolume data allows one node at a time"
    );
}

/// What Kubernetes makes of this volume on node `a`, by a PersistentVolume of this name.
fn attached_by(volume: &str) -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment",
        "metadata": {
            // By this volume, driver and node.
            "name": "csi-8662e04f8cd1f53b1a542399b79341fbe0706d184e812f6a8c8283b790b39954",
            "uid": "1", "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "attacher": DRIVER, "nodeName": "a", "source": { "persistentVolumeName": volume },
        },
        "status": { "attached": true },
    })
}

#[tokio::test]
async fn an_attachment_outlives_its_persistent_volume() {
    let scene = Scene::new().await;
    scene
        .cluster
        .put(ATTACHMENTS, attached_by("removed-by-force"));
    scene.want("b", 2);
    scene.refused("b", "a").await;
    // A later one of the same name says nothing about what is attached.
    let later = volume("removed-by-force", "volume-2", "ReadWriteOnce");
    scene.cluster.put(VOLUMES, later);
    scene.refused("b", "a").await;
}

#[tokio::test]
async fn an_attachment_is_not_hidden_by_a_new_persistent_volume_of_the_old_name() {
    let scene = Scene::new().await;
    scene
        .cluster
        .put(VOLUMES, volume("reborn", "volume-2", "ReadWriteMany"));
    scene.cluster.put(ATTACHMENTS, attached_by("reborn"));
    // What the old one allowed is not known any more.
    scene
        .cluster
        .put(VOLUMES, volume("data", VOLUME, "ReadWriteMany"));
    scene.want("b", 2);
    let mut message = publish("b");
    message.volume_capability = block(Mode::MultiNodeMultiWriter);
    let status = scene.ask(message).await.expect_err("perhaps for one node");
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    for words in [
        "is attached to node a",
        "by PersistentVolume reborn, which names another volume or is gone",
    ] {
        assert!(status.message().contains(words), "{words:?} in {status}");
    }
}

#[tokio::test]
async fn other_volumes_and_other_drivers_are_in_nobodys_way() {
    let scene = Scene::new().await;
    scene
        .cluster
        .put(VOLUMES, volume("other", "volume-2", "ReadWriteOnce"));
    let mut foreign = volume("foreign", VOLUME, "ReadWriteOnce");
    foreign["spec"]["csi"]["driver"] = json!("other.csi");
    scene.cluster.put(VOLUMES, foreign);
    let nfs = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": "files" },
        "spec": { "accessModes": ["ReadWriteMany"], "nfs": { "server": "a", "path": "/" } },
    });
    scene.cluster.put(VOLUMES, nfs);
    for by in ["other", "foreign", "gone"] {
        let name = scene.want_by(by, "a", 1);
        scene.mark_attached(&name);
    }
    let foreign = scene.want_by("data", "a", 1);
    scene.mark_attached(&foreign);
    scene.cluster.change(ATTACHMENTS, &foreign, |attachment| {
        attachment["spec"]["attacher"] = json!("other.csi");
    });
    scene.want("b", 2);
    scene.publish("b").await.expect("nobody else has it");
}

#[tokio::test]
async fn several_nodes_may_have_what_is_for_several() {
    let scene = Scene::new().await;
    scene
        .cluster
        .put(VOLUMES, volume("data", VOLUME, "ReadWriteMany"));
    for (node, second) in [("a", 1), ("b", 2)] {
        let name = scene.want(node, second);
        let mut message = publish(node);
        message.volume_capability = block(Mode::MultiNodeMultiWriter);
        scene.ask(message).await.expect("each of them");
        scene.mark_attached(&name);
    }
}

#[tokio::test]
async fn the_rest_of_a_long_list_counts() {
    let scene = Scene::new().await;
    for number in 0..600 {
        let name = format!("bulk-{number}");
        let handle = format!("bulk-{number}");
        scene
            .cluster
            .put(VOLUMES, volume(&name, &handle, "ReadWriteOnce"));
        scene.want_by(&name, "a", 1);
    }
    scene
        .cluster
        .put(VOLUMES, volume("zz-last", VOLUME, "ReadWriteOnce"));
    let last = scene.want_by("zz-last", "a", 1);
    scene.mark_attached(&last);
    scene.want("b", 2);
    scene.refused("b", "a").await;
    assert_eq!(scene.cluster.asked("continue="), 2, "one more page of each");
}

#[tokio::test]
async fn a_volume_that_is_not_there_is_not_found() {
    let scene = Scene::new().await;
    let mut message = publish("a");
    message.volume_id = "volume-9".to_owned();
    let status = scene
        .ask(message)
        .await
        .expect_err("nobody has such a volume");
    assert_eq!(status.code(), Code::NotFound);
    assert!(
        status
            .message()
            .contains("of driver test.csi has the handle \"volume-9\""),
        "{status}"
    );
}

#[tokio::test]
async fn a_node_that_does_not_run_the_driver_so_is_not_found() {
    let scene = Scene::new().await;
    scene
        .cluster
        .put(NODES, node("a", "a/nqn.2026-01.org.example:renamed"));
    scene
        .cluster
        .change(NODES, "b", |node| node["spec"]["drivers"] = json!([]));
    for (node, words) in [
        (
            "a",
            "runs the driver as \"a/nqn.2026-01.org.example:renamed\", not as",
        ),
        ("b", "does not run driver test.csi"),
        ("c", "is not in the cluster"),
    ] {
        let status = scene.publish(node).await.expect_err(words);
        assert_eq!(status.code(), Code::NotFound, "{words}");
        assert!(status.message().contains(words), "{words:?} in {status}");
    }
}

#[tokio::test]
async fn a_node_that_calls_itself_otherwise_than_the_cluster_does_is_known_by_its_id() {
    let scene = Scene::new().await;
    scene.cluster.put(NODES, node("a.example", &node_id("a")));
    let name = scene.want("a", 1);
    scene.cluster.change(ATTACHMENTS, &name, |attachment| {
        attachment["spec"]["nodeName"] = json!("a.example");
    });
    scene.mark_attached(&name);
    scene.publish("a").await.expect("its own attachment");
}

#[tokio::test]
async fn unpublishing_what_nobody_knows_succeeds() {
    let scene = Scene::new().await;
    let long = "a/".repeat(200);
    for (volume, node) in [
        (VOLUME, node_id("a")),
        ("volume-9", node_id("a")),
        (VOLUME, "a-node-of-another-driver".to_owned()),
        (VOLUME, String::new()),
        (long.as_str(), node_id("a")),
    ] {
        for _ in 0..2 {
            scene
                .unpublish(volume, &node)
                .await
                .expect("it is not there");
        }
    }
    assert_eq!(scene.cluster.asked(""), 0, "there is nothing to ask");
}
