//! Two nodes that ask for one volume at once.

use tonic::Status;

use crate::api_server::VOLUMES;
use crate::requests::{VOLUME, node_id, publish};
use crate::scene::{SETTLE, Scene, later};

#[tokio::test]
async fn of_two_that_ask_at_once_the_earlier_attachment_goes_first() {
    for (a, b, winner) in [(1, 2, "a"), (2, 1, "b"), (1, 1, "a")] {
        let scene = Scene::new().await;
        scene.want("a", a);
        scene.want("b", b);
        let (a, b) = tokio::join!(scene.publish("a"), scene.publish("b"));
        // A controller before this one may have admitted either.
        assert!(admitted(&[("a", a), ("b", b)]).is_empty());
        later(SETTLE).await;
        let (a, b) = tokio::join!(scene.publish("a"), scene.publish("b"));
        assert_eq!(admitted(&[("a", a), ("b", b)]), [winner]);
    }
}

#[tokio::test]
async fn who_was_admitted_stays_so_before_the_attacher_has_written_it() {
    let scene = Scene::new().await;
    // In one second, and the one that is admitted first would be the later by its UID.
    scene.want("b", 1);
    scene.publish("b").await.expect("nobody else asks");
    let name = scene.want("a", 1);
    scene.refused("a", "b").await;
    scene.publish("b").await.expect("it was admitted");
    // The attacher gives up: the volume is free again.
    scene
        .unpublish(VOLUME, &node_id("b"))
        .await
        .expect("detached");
    later(SETTLE).await;
    scene.publish("a").await.expect("it asked first");
    scene.mark_attached(&name);
    scene.refused("b", "a").await;
}

#[tokio::test]
async fn calls_for_one_volume_are_decided_one_after_the_other() {
    let scene = Scene::new().await;
    scene.want("b", 1);
    scene.cluster.hold();
    let mut controller = scene.controller().await;
    let first =
        tokio::spawn(async move { controller.controller_publish_volume(publish("b")).await });
    asked(&scene, 1).await;
    // What the first call sees is fixed. The other node asks in the same second, and would go first.
    scene.want("a", 1);
    let mut controller = scene.controller().await;
    let second =
        tokio::spawn(async move { controller.controller_publish_volume(publish("a")).await });
    scene.cluster.let_go(1);
    first.await.expect("no panic").expect("nobody else asked");
    scene.cluster.let_go(1);
    let status = second.await.expect("no panic").expect_err("it is admitted");
    assert!(
        status.message().contains("node b, which asked first"),
        "{status}"
    );
}

#[tokio::test]
async fn calls_for_different_volumes_do_not_wait_for_each_other() {
    let scene = Scene::new().await;
    let other = crate::scene::volume("other", "volume-2", "ReadWriteOnce");
    scene.cluster.put(VOLUMES, other);
    scene.cluster.hold();
    let mut controller = scene.controller().await;
    let first =
        tokio::spawn(async move { controller.controller_publish_volume(publish("a")).await });
    let mut controller = scene.controller().await;
    let mut message = publish("b");
    message.volume_id = "volume-2".to_owned();
    let second = tokio::spawn(async move { controller.controller_publish_volume(message).await });
    asked(&scene, 2).await;
    scene.cluster.let_go(2);
    first.await.expect("no panic").expect("its own volume");
    second.await.expect("no panic").expect("its own volume");
}

#[tokio::test]
async fn two_controllers_agree_on_who_goes_first() {
    let scene = Scene::new().await;
    let other = Scene::of(scene.cluster.clone()).await;
    scene.want("a", 2);
    scene.want("b", 1);
    let (a, b) = tokio::join!(scene.publish("a"), other.publish("b"));
    assert!(admitted(&[("a", a), ("b", b)]).is_empty());
    later(SETTLE).await;
    let (a, b) = tokio::join!(scene.publish("a"), other.publish("b"));
    assert_eq!(admitted(&[("a", a), ("b", b)]), ["b"]);
}

#[tokio::test]
async fn a_caller_that_gives_up_leaves_the_volume_to_the_next_one() {
    let scene = Scene::new().await;
    scene.want("a", 1);
    scene.cluster.hold();
    let mut controller = scene.controller().await;
    let first =
        tokio::spawn(async move { controller.controller_publish_volume(publish("a")).await });
    asked(&scene, 1).await;
    first.abort();
    assert!(first.await.expect_err("aborted").is_cancelled());
    scene.cluster.let_go(100);
    scene.publish("a").await.expect("nobody holds the volume");
}

/// Waits until PersistentVolumes were asked for so often.
async fn asked(scene: &Scene, times: usize) {
    while scene.cluster.asked(VOLUMES) < times {
        tokio::task::yield_now().await;
    }
}

fn admitted<'a>(answers: &[(&'a str, Result<(), Status>)]) -> Vec<&'a str> {
    let admitted = answers.iter().filter(|(_, answer)| answer.is_ok());
    admitted.map(|(node, _)| *node).collect()
}
