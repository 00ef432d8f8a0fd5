//! What is left of others that asked: those that a controller before this one admitted, and those
//! that ask no more.

use serde_json::json;
use tonic::Code;

use crate::api_server::{ATTACHMENTS, NODES};
use crate::requests::publish;
use crate::scene::{SETTLE, SILENCE, Scene, later};

#[tokio::test]
async fn what_one_controller_admitted_the_next_one_does_not_give_away() {
    let before = Scene::new().await;
    let name = before.want("a", 2);
    before.publish("a").await.expect("nobody else asks");
    // Made later, and yet the earlier one by the clock of another API server.
    before.want("b", 1);
    let next = Scene::of(before.cluster.clone()).await;
    let message = next.refused("b", "a").await;
    assert!(message.contains("within 30 s"), "{message}");
    before.mark_attached(&name);
    later(SETTLE).await;
    let message = next.refused("b", "a").await;
    assert!(message.contains("is attached to node a"), "{message}");
}

#[tokio::test]
async fn what_was_admitted_and_never_attached_is_free_in_the_end() {
    let before = Scene::new().await;
    before.want("a", 2);
    before.publish("a").await.expect("nobody else asks");
    before.want("b", 1);
    let next = Scene::of(before.cluster.clone()).await;
    next.refused("b", "a").await;
    later(SETTLE).await;
    next.publish("b")
        .await
        .expect("the attacher before is gone");
}

#[tokio::test]
async fn whom_the_attacher_has_not_begun_with_is_in_nobodys_way() {
    let scene = Scene::new().await;
    // The driver of that node is gone: the attacher never asks for it.
    let name = scene.want("a", 1);
    scene.cluster.change(ATTACHMENTS, &name, |attachment| {
        attachment["metadata"]["finalizers"] = json!([]);
    });
    scene.want("b", 2);
    scene.publish("b").await.expect("nobody was asked for a");
    let message = scene.refused("a", "b").await;
    assert!(message.contains("asked first"), "{message}");
}

#[tokio::test]
async fn an_older_one_that_is_heard_of_no_more_gives_way() {
    let scene = Scene::new().await;
    scene.want("a", 1);
    scene.want("b", 2);
    scene.refused("a", "b").await;
    scene.refused("b", "a").await;
    later(SILENCE / 2).await;
    let message = scene.refused("b", "a").await;
    assert!(message.contains("asked first"), "{message}");
    later(SILENCE / 2).await;
    scene.publish("b").await.expect("it asks no more");
}

#[tokio::test]
async fn an_older_one_that_can_never_be_admitted_gives_way() {
    let scene = Scene::new().await;
    scene.want("a", 1);
    scene.want("b", 2);
    scene
        .cluster
        .change(NODES, "a", |node| node["spec"]["drivers"] = json!([]));
    let mut wrong = publish("a");
    wrong.volume_context.clear();
    for _ in 0..4 {
        let status = scene.ask(wrong.clone()).await.expect_err("no nqn");
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        let status = scene.publish("a").await.expect_err("no driver");
        assert_eq!(status.code(), Code::NotFound, "{status}");
        scene.refused("b", "a").await;
        later(SILENCE / 4).await;
    }
    scene.publish("b").await.expect("a was never in question");
}
