//! An API server that is down, slow or refuses, and more to tell than can be posted.

use std::time::Duration;

use nvmeof_csi::report::outcome::Reason;
use nvmeof_csi::report::reporter::Reporter;
use tokio::time::Instant;

use crate::api_server::{Behaviour, Scene, outcome, unnamed};

#[tokio::test(start_paused = true)]
async fn without_leave_to_look_events_are_posted_without_uids() {
    let mut scene = Scene::new(Behaviour::ForbidsLooks);
    scene.reporter.tell(outcome(Reason::MountFailure));
    for name in ["data", "db-0"] {
        let event = scene.change().await.body;
        assert_eq!(event["involvedObject"]["name"], name);
        assert!(event["involvedObject"]["uid"].is_null(), "{event}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_cannot_be_looked_up_leaves_the_events_on_the_pods() {
    let mut scene = Scene::new(Behaviour::ForbidsLooks);
    let mut told = outcome(Reason::MountFailure);
    told.claim = None;
    scene.reporter.tell(told);
    let event = scene.change().await.body;
    assert_eq!(event["involvedObject"]["kind"], "Pod");
}

#[tokio::test(start_paused = true)]
async fn a_silent_api_server_costs_its_events_and_no_later_ones() {
    let mut scene = Scene::new(Behaviour::Silent);
    let began = Instant::now();
    scene.reporter.tell(unnamed("volume-1"));
    assert_eq!(began.elapsed(), Duration::ZERO);
    scene.asked().await;
    scene.behave(Behaviour::Works);
    scene.reporter.tell(outcome(Reason::PathLost));
    assert_eq!(scene.change().await.body["reason"], "PathLost");
    assert_eq!(began.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_refuses_gets_the_count_once_it_does_not() {
    let mut scene = Scene::new(Behaviour::Forbids);
    let mut told = outcome(Reason::PathLost);
    told.pods.clear();
    scene.reporter.tell(told.clone());
    assert_eq!(scene.change().await.body["count"], 1);
    scene.behave(Behaviour::Works);
    scene.reporter.tell(told);
    assert_eq!(scene.change().await.body["count"], 2);
}

#[test]
fn telling_never_waits_and_drops_what_does_not_fit() {
    let (reporter, mut outcomes) = Reporter::new();
    for _ in 0..600 {
        reporter.tell(outcome(Reason::PathLost));
    }
    assert_eq!(reporter.dropped(), 88);
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let next = runtime.expect("a runtime").block_on(outcomes.next());
    assert_eq!(next, Some(outcome(Reason::PathLost)));
    reporter.tell(outcome(Reason::PathLost));
    assert_eq!(reporter.dropped(), 0);
}

#[test]
fn a_reporter_outlives_whoever_posts() {
    let (reporter, outcomes) = Reporter::new();
    drop(outcomes);
    reporter.tell(outcome(Reason::PathLost));
    Reporter::silent().tell(outcome(Reason::PathLost));
}
