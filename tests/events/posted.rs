//! What is posted where.

use hyper::Method;
use nvmeof_csi::report::outcome::Reason;
use serde_json::json;

use crate::api_server::{Behaviour, Scene, outcome, unnamed};

#[tokio::test(start_paused = true)]
async fn an_outcome_is_an_event_on_the_claim_and_one_on_the_pod() {
    let mut scene = Scene::new(Behaviour::Works);
    scene.reporter.tell(outcome(Reason::PathLost));
    for (kind, name) in [("PersistentVolumeClaim", "data"), ("Pod", "db-0")] {
        let asked = scene.change().await;
        assert_eq!(asked.method, Method::POST);
        assert_eq!(asked.path, "/api/v1/namespaces/shop/events");
        let event = asked.body;
        assert_eq!(event["reason"], "PathLost");
        assert_eq!(event["type"], "Warning");
        assert_eq!(event["message"], "no path for 30 s");
        assert_eq!(event["count"], 1);
        assert_eq!(event["source"]["component"], "test.csi");
        assert_eq!(event["source"]["host"], "worker-1");
        let object = json!({
            "apiVersion": "v1", "kind": kind, "namespace": "shop", "name": name,
            "uid": format!("uid-of-{name}"),
        });
        assert_eq!(event["involvedObject"], object);
    }
}

#[tokio::test(start_paused = true)]
async fn what_informs_is_normal() {
    let mut scene = Scene::new(Behaviour::Works);
    scene.reporter.tell(outcome(Reason::PathRestored));
    assert_eq!(scene.change().await.body["type"], "Normal");
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_nobody_named_is_looked_up_once_by_driver_and_volume() {
    let mut scene = Scene::new(Behaviour::Works);
    scene.reporter.tell(unnamed("volume-1"));
    let look = scene.asked().await;
    assert_eq!(look.path, "/api/v1/persistentvolumes");
    let event = scene.change().await.body;
    assert_eq!(event["involvedObject"]["name"], "found");
    scene.reporter.tell(unnamed("volume-1"));
    assert_eq!(scene.asked().await.method, Method::PATCH);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_raises_the_count_and_another_reason_is_another_event() {
    let mut scene = Scene::new(Behaviour::Works);
    for count in 1..=3 {
        let mut told = outcome(Reason::RecoveryFailed);
        told.pods.clear();
        told.message = format!("attempt {count}");
        scene.reporter.tell(told);
        let asked = scene.change().await;
        assert_eq!(asked.body["count"], count);
        assert_eq!(asked.body["message"], format!("attempt {count}"));
        let event = "/api/v1/namespaces/shop/events/made-x7k2p";
        assert_eq!(asked.path == event, count > 1, "{}", asked.path);
    }
    scene.reporter.tell(outcome(Reason::DataLost));
    assert_eq!(scene.change().await.method, Method::POST);
    let text = scene.metrics.text().expect("numbers");
    let line = "nvmeof_csi_events_posted_total{reason=\"RecoveryFailed\"} 3";
    assert!(text.lines().any(|found| found == line), "{text}");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_the_api_server_forgot_is_made_anew() {
    let mut scene = Scene::new(Behaviour::Forgets);
    let mut told = outcome(Reason::PathLost);
    told.pods.clear();
    scene.reporter.tell(told.clone());
    assert_eq!(scene.change().await.method, Method::POST);
    scene.reporter.tell(told);
    assert_eq!(scene.change().await.method, Method::PATCH);
    let asked = scene.change().await;
    assert_eq!(asked.method, Method::POST);
    assert_eq!(asked.body["count"], 2);
}
