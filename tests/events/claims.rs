//! How the claims of volumes are known.

use std::time::Duration;

use nvmeof_csi::report::outcome::Reason;
use tokio::time::Instant;

use crate::api_server::{Behaviour, Scene, of_pod, outcome, unnamed};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_volume_that_comes_is_looked_at_at_once_and_no_event_waits_for_that() {
    let mut scene = Scene::new(Behaviour::Works);
    scene.reporter.came("volume-1", "pv-1");
    let look = scene.asked().await;
    assert_eq!(look.path, "/api/v1/persistentvolumes/pv-1");
    for reason in [Reason::PathLost, Reason::PathRestored] {
        scene.reporter.tell(outcome(reason));
        for name in ["found", "db-0"] {
            let asked = scene.asked().await;
            assert_eq!(asked.object(), name);
            let uid = &asked.body["involvedObject"]["uid"];
            assert_eq!(*uid, format!("uid-of-{name}"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_no_volume_of_ours_is_not_trusted() {
    for pv in ["stolen", "no-such-name"] {
        let mut scene = Scene::new(Behaviour::Works);
        scene.reporter.came("volume-1", pv);
        let look = scene.asked().await;
        assert_eq!(look.path, format!("/api/v1/persistentvolumes/{pv}"));
        scene.reporter.tell(unnamed("volume-1"));
        assert_eq!(scene.asked().await.path, "/api/v1/persistentvolumes");
        assert_eq!(scene.asked().await.object(), "found");
    }
}

#[tokio::test(start_paused = true)]
async fn one_look_at_all_volumes_serves_all_that_nobody_named() {
    let mut scene = Scene::new(Behaviour::Works);
    for number in (1..=200).rev() {
        scene.reporter.tell(unnamed(&format!("volume-{number}")));
    }
    let asked = scene.pass(SECOND).await;
    let looks = asked.iter().filter(|asked| asked.is_look());
    assert_eq!(looks.count(), 1, "{asked:?}");
    assert_eq!(asked.last().expect("a request").object(), "found");
    scene.reporter.tell(unnamed("volume-1"));
    scene.reporter.tell(unnamed("volume-2"));
    let asked = scene.pass(SECOND).await;
    assert_eq!(asked.len(), 1, "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_look_at_all_volumes_serves_those_that_are_told_of_later() {
    let mut scene = Scene::new(Behaviour::Works);
    scene.reporter.tell(unnamed("volume-2"));
    let asked = scene.pass(SECOND).await;
    assert!(asked.len() == 1 && asked[0].is_look(), "{asked:?}");
    scene.reporter.tell(unnamed("volume-1"));
    assert_eq!(scene.asked().await.object(), "found");
    // And not for ever: a claim may be bound anew.
    scene.pass(11 * MINUTE).await;
    scene.reporter.tell(unnamed("volume-1"));
    assert!(scene.asked().await.is_look());
}

#[tokio::test(start_paused = true)]
async fn looks_at_all_volumes_are_put_off_before_they_are_taken() {
    let mut scene = Scene::new(Behaviour::Works);
    let mut looks = 0;
    for number in 2..102 {
        scene.reporter.tell(unnamed(&format!("volume-{number}")));
        looks += scene.pass(Duration::from_millis(10)).await.len();
    }
    // A second has passed.
    assert!((64..=65).contains(&looks), "{looks}");
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_went_is_looked_for_anew() {
    let mut scene = Scene::new(Behaviour::Works);
    scene.reporter.came("volume-1", "pv-1");
    assert!(scene.asked().await.is_look());
    scene.reporter.went("volume-1");
    scene.pass(SECOND).await;
    scene.reporter.tell(unnamed("volume-1"));
    assert!(scene.asked().await.is_look());
}

#[tokio::test(start_paused = true)]
async fn without_leave_to_look_pods_have_their_events_and_a_claim_has_one_without_uid() {
    let mut scene = Scene::new(Behaviour::ForbidsLooks);
    let began = Instant::now();
    scene.reporter.came("volume-1", "pv-1");
    scene.reporter.tell(outcome(Reason::MountFailure));
    let pod = scene.change().await;
    assert_eq!(pod.object(), "db-0");
    let claim = scene.change().await;
    assert_eq!(claim.object(), "found");
    assert!(began.elapsed() < 5 * MINUTE);
    let uid = &claim.body["involvedObject"]["uid"];
    assert!(uid.is_null(), "{uid}");
    scene.reporter.tell(of_pod("db-1", Reason::MountFailure));
    let asked = scene.pass(SECOND).await;
    let changes: Vec<_> = asked.iter().filter(|asked| !asked.is_look()).collect();
    assert_eq!(changes.len(), 1, "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_look_that_is_not_answered_keeps_nothing_from_the_pods() {
    let mut scene = Scene::new(Behaviour::SilentForLooks);
    scene.reporter.tell(outcome(Reason::PathLost));
    assert_eq!(scene.change().await.object(), "db-0");
    scene.reporter.tell(of_pod("db-1", Reason::PathLost));
    assert_eq!(scene.change().await.object(), "db-1");
    scene.behave(Behaviour::Works);
    assert_eq!(scene.change().await.object(), "found");
    scene.pass(100 * SECOND).await;
    assert_eq!(scene.metric("events_pending"), 0);
    assert_eq!(scene.held(), 3);
}
