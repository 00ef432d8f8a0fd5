//! An API server that does not say: then nobody is admitted.

use std::time::Duration;

use tonic::Code;

use crate::api_server::{ATTACHMENTS, Behaviour, NODES, VOLUMES};
use crate::requests::{VOLUME, node_id, publish};
use crate::scene::{Scene, later};

const KINDS: [&str; 3] = [ATTACHMENTS, VOLUMES, NODES];

#[tokio::test]
async fn an_api_server_that_fails_is_unavailable_and_works_again_later() {
    let scene = Scene::new().await;
    scene.want("a", 1);
    for (kind, question) in [
        (ATTACHMENTS, "cannot list VolumeAttachments"),
        (VOLUMES, "cannot list PersistentVolumes"),
        (NODES, "cannot read a CSINode"),
    ] {
        scene.cluster.behave(Behaviour::Fails(kind, 500));
        let status = scene.publish("a").await.expect_err(kind);
        assert_eq!(status.code(), Code::Unavailable, "{kind}: {status}");
        for words in ["nobody is admitted", question, "the double says no"] {
            assert!(status.message().contains(words), "{words:?} in {status}");
        }
        scene.cluster.behave(Behaviour::Works);
        scene.publish("a").await.expect("it works again");
    }
}

#[tokio::test]
async fn rights_that_are_missing_are_said_with_what_to_do() {
    let scene = Scene::new().await;
    scene.want("a", 1);
    for (kind, code) in [(ATTACHMENTS, 403), (VOLUMES, 403), (NODES, 401)] {
        scene.cluster.behave(Behaviour::Fails(kind, code));
        let status = scene.publish("a").await.expect_err(kind);
        assert_eq!(status.code(), Code::FailedPrecondition, "{kind}: {status}");
        let words = "what to do: give the controller's ServiceAccount the rights of";
        assert!(status.message().contains(words), "{status}");
    }
}

#[tokio::test]
async fn an_api_server_may_take_as_long_as_the_caller_waits() {
    let scene = Scene::new().await;
    scene.want("a", 1);
    scene.cluster.hold();
    let mut controller = scene.controller().await;
    let mut request = tonic::Request::new(publish("a"));
    request.set_timeout(Duration::from_secs(60));
    let asking = tokio::spawn(async move { controller.controller_publish_volume(request).await });
    while scene.cluster.asked(VOLUMES) < 1 {
        tokio::task::yield_now().await;
    }
    later(Duration::from_secs(50)).await;
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    assert!(!asking.is_finished(), "it gave up");
    scene.cluster.let_go(1);
    let answer = asking.await.expect("no panic");
    answer.expect("the caller still waits");
}

#[tokio::test]
async fn silence_is_unavailable_when_the_calls_time_is_over_and_holds_nobody_up() {
    let scene = Scene::new().await;
    scene.want("a", 1);
    for kind in KINDS {
        scene.cluster.behave(Behaviour::Silent(kind));
        let before = scene.cluster.asked(kind);
        let mut controller = scene.controller().await;
        // It sets no limit, so that it does not give up in the same moment.
        let asking =
            tokio::spawn(async move { controller.controller_publish_volume(publish("a")).await });
        while scene.cluster.asked(kind) == before {
            tokio::task::yield_now().await;
        }
        later(Duration::from_secs(110)).await;
        let answer = asking.await.expect("no panic");
        let status = answer.expect_err(kind);
        assert_eq!(status.code(), Code::Unavailable, "{kind}: {status}");
        assert!(
            status.message().contains("did not answer in time"),
            "{status}"
        );
    }
    scene
        .unpublish(VOLUME, &node_id("a"))
        .await
        .expect("it asks nobody");
    scene.cluster.behave(Behaviour::Works);
    scene.publish("a").await.expect("it answers again");
}
