//! An API server that answers nothing, is gone, and comes back.

use std::fs;
use std::time::Duration;

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::ListParams;
use nvmeof_csi::report::outcome::Reason;
use serde_json::Value;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use crate::control_plane::ControlPlane;
use crate::scene::{PATIENCE, Scene};

/// How long the poster waits for one answer.
const ONE_ANSWER: Duration = Duration::from_secs(30);
/// How often what is waited for is looked at.
const AGAIN: Duration = Duration::from_millis(100);

pub(crate) async fn an_api_server_that_hangs_and_dies_delays_nobody_and_gets_the_count_later(
    plane: &mut ControlPlane,
) {
    let scene = Scene::new(plane, "outage").await;
    scene.reporter.tell(scene.outcome(Reason::PathLost));
    scene.event(&scene.pod, 1).await;
    let tell = async |times: u32| {
        let began = Instant::now();
        for _ in 0..times {
            scene.reporter.tell(scene.outcome(Reason::PathLost));
            // The poster goes on as far as it can.
            yield_now().await;
        }
        assert!(began.elapsed() < ONE_ANSWER, "{:?}", began.elapsed());
    };
    plane.hang();
    tell(3).await;
    plane.kill();
    tell(3).await;
    plane.start().await;
    tell(1).await;
    for uid in [&scene.claim, &scene.pod] {
        let event = scene.event(uid, 8).await;
        assert_eq!(event.reason.as_deref(), Some("PathLost"));
    }
    assert_eq!(scene.reporter.dropped(), 0);
}

pub(crate) async fn what_happened_without_an_api_server_is_posted_in_order_after_its_return(
    plane: &mut ControlPlane,
) {
    let mut scene = Scene::new(plane, "gone").await;
    scene.reporter.tell(scene.outcome(Reason::PathRestored));
    scene.event(&scene.claim, 1).await;
    plane.kill();
    let told = [Reason::PathLost, Reason::IdentityMismatch, Reason::DataLost];
    for reason in told {
        scene.reporter.tell(scene.outcome(reason));
        // Whole seconds are kept of a time.
        sleep(Duration::from_secs(2)).await;
    }
    let asked = plane.asked().len();
    let before = Timestamp::now();
    plane.start().await;
    for uid in [&scene.claim, &scene.pod] {
        for reason in told {
            let event = posted(&scene, uid, reason).await;
            let first = event.first_timestamp.expect("a time").0;
            assert!(
                first < before,
                "{reason:?} at {first}, and not after {before}"
            );
        }
        let order = all(&scene, uid).await;
        let order: Vec<_> = order.iter().filter_map(|it| it.reason.as_deref()).collect();
        assert_eq!(
            order,
            ["PathRestored", "PathLost", "IdentityMismatch", "DataLost"]
        );
    }
    let asked = plane.asked().split_off(asked);
    assert!(!asked.iter().any(is_look), "{asked:#?}");

    // A plugin that starts without one knows of no claim yet.
    plane.kill();
    scene.start_anew(plane);
    scene.reporter.tell(scene.outcome(Reason::RecoveryFailed));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(scene.pending(), "1");
    plane.start().await;
    for uid in [&scene.pod, &scene.claim] {
        posted(&scene, uid, Reason::RecoveryFailed).await;
    }
}

pub(crate) async fn a_token_that_is_mended_is_used(plane: &mut ControlPlane) {
    let mut scene = Scene::new(plane, "tokens").await;
    let file = scene.token_file();
    let token = fs::read(&file).expect("a token");
    for reason in [Reason::PathLost, Reason::DataLost] {
        fs::write(&file, "wrong").expect("a file");
        // A client that was made with the right one would use it for up to a minute.
        scene.start_anew(plane);
        scene.reporter.tell(scene.outcome(reason));
        sleep(Duration::from_secs(3)).await;
        assert_eq!(scene.pending(), "1");
        fs::write(&file, &token).expect("a file");
        for uid in [&scene.claim, &scene.pod] {
            posted(&scene, uid, reason).await;
        }
    }
}

/// Waits for the event on what has this UID with this reason.
async fn posted(scene: &Scene, uid: &str, reason: Reason) -> Event {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = all(scene, uid).await;
        let mut found = found.into_iter();
        let wanted = |event: &Event| event.reason.as_deref() == Some(reason.as_str());
        if let Some(event) = found.find(wanted) {
            return event;
        }
        assert!(Instant::now() < deadline, "no {reason:?} on {uid}");
        sleep(AGAIN).await;
    }
}

/// The events on what has this UID, in the order in which the API server got them.
async fn all(scene: &Scene, uid: &str) -> Vec<Event> {
    let only = ListParams::default().fields(&format!("involvedObject.uid={uid}"));
    let mut events = scene.events().list(&only).await.expect("events").items;
    let revision = |event: &Event| event.resource_version().expect("one").parse::<u64>();
    events.sort_by_key(|event| revision(event).expect("a number"));
    events
}

fn is_look(asked: &Value) -> bool {
    asked["verb"] == "get" || asked["verb"] == "list"
}
