//! Events that the API server will never take, or with which it has trouble of its own.

use std::time::Duration;

use nvmeof_csi::report::outcome::{Outcome, PodRef, Reason};

use crate::api_server::{Behaviour, Scene, of_pod};

const MINUTE: Duration = Duration::from_secs(60);

fn sick() -> Outcome {
    let pod = PodRef {
        namespace: "sick".to_owned(),
        name: "sick".to_owned(),
        uid: None,
    };
    Outcome {
        pods: vec![pod],
        ..of_pod("sick", Reason::PathLost)
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_good_is_asked_once_and_counted_by_the_next() {
    for code in [400, 404, 405, 413, 422] {
        let mut scene = Scene::new(Behaviour::Refuses(code));
        scene.reporter.tell(of_pod("db-0", Reason::PathLost));
        let asked = scene.pass(9 * MINUTE).await;
        let posts = asked.iter().filter(|asked| !asked.is_look());
        assert_eq!(posts.count(), 1, "{code}: {asked:?}");
        let dropped = "events_dropped_total{reason=\"PathLost\",cause=\"refused\"}";
        assert_eq!(scene.metric(dropped), 1, "{code}");
        assert_eq!(scene.metric("events_pending"), 0, "{code}");
        assert_eq!(scene.metric("events_posted_total{reason=\"PathLost\"}"), 0);
        scene.behave(Behaviour::Works);
        scene.reporter.tell(of_pod("db-0", Reason::PathLost));
        assert_eq!(scene.change().await.body["count"], 2, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_forbids_may_have_just_started() {
    let mut scene = Scene::new(Behaviour::Refuses(403));
    for reason in [Reason::PathLost, Reason::DataLost] {
        scene.reporter.tell(of_pod("db-0", reason));
    }
    scene.pass(MINUTE).await;
    assert_eq!(scene.metric("events_pending"), 2);
    scene.behave(Behaviour::Works);
    let asked = scene.pass(MINUTE).await;
    let reasons = asked.iter().filter(|asked| !asked.is_look());
    let reasons: Vec<_> = reasons.map(|asked| &asked.body["reason"]).collect();
    assert_eq!(reasons, ["PathLost", "DataLost"]);
}

#[tokio::test(start_paused = true)]
async fn what_stays_forbidden_is_given_up_after_minutes_and_what_comes_then_at_once() {
    let mut scene = Scene::new(Behaviour::Refuses(403));
    let count = |scene: &Scene| {
        let dropped = "events_dropped_total{reason=\"PathLost\",cause=\"refused\"}";
        (scene.metric(dropped), scene.metric("events_pending"))
    };
    scene.reporter.tell(of_pod("db-0", Reason::PathLost));
    let asked = scene.pass(10 * MINUTE).await;
    assert!(asked.len() < 20, "{asked:?}");
    assert_eq!(count(&scene), (1, 0));
    for number in 2..12 {
        let name = format!("db-{number}");
        scene.reporter.tell(of_pod(&name, Reason::PathLost));
        let asked = scene.pass(MINUTE / 60).await;
        let posts = asked.iter().filter(|asked| !asked.is_look());
        assert_eq!(posts.count(), 1, "{asked:?}");
        assert_eq!(count(&scene), (number, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_api_server_has_trouble_with_keeps_no_other_waiting_and_is_given_up_in_the_end() {
    let mut scene = Scene::new(Behaviour::Ails);
    scene.reporter.tell(sick());
    for number in 0..10 {
        let name = format!("db-{number}");
        scene.reporter.tell(of_pod(&name, Reason::PathLost));
        scene.pass(MINUTE).await;
        assert_eq!(scene.held(), number + 1);
    }
    let dropped = "events_dropped_total{reason=\"PathLost\",cause=\"refused\"}";
    assert_eq!(scene.metric(dropped), 1);
    assert_eq!(scene.metric("events_pending"), 0);
}

#[tokio::test(start_paused = true)]
async fn trouble_with_all_that_waits_gives_nothing_up() {
    let mut scene = Scene::new(Behaviour::Ails);
    scene.reporter.tell(sick());
    scene.pass(120 * MINUTE).await;
    assert_eq!(scene.metric("events_pending"), 1);
    scene.behave(Behaviour::Works);
    scene.pass(MINUTE).await;
    assert_eq!((scene.held(), scene.metric("events_pending")), (1, 0));
}
