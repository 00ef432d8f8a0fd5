//! What is posted where.

use hyper::Method;
use nvmeof_csi::report::outcome::Reason;
use serde_json::json;

use crate::api_server::{Behaviour, Scene, of_pod, outcome};

#[tokio::test(start_paused = true)]
async fn an_outcome_is_an_event_on_the_pod_and_one_on_the_claim() {
    let mut scene = Scene::new(Behaviour::Works);
    scene.reporter.tell(outcome(Reason::PathLost));
    for (kind, name) in [("Pod", "db-0"), ("PersistentVolumeClaim", "found")] {
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
        let made = event["metadata"]["name"].as_str().expect("a name");
        assert!(made.starts_with(&format!("{name}.pathlost.")), "{made}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_informs_is_normal() {
    let mut scene = Scene::new(Behaviour::Works);
    scene.reporter.tell(outcome(Reason::PathRestored));
    assert_eq!(scene.change().await.body["type"], "Normal");
}

#[tokio::test(start_paused = true)]
async fn a_repeat_raises_the_count_and_another_reason_is_another_event() {
    let mut scene = Scene::new(Behaviour::Works);
    let mut made = String::new();
    for count in 1..=3 {
        let mut told = of_pod("db-0", Reason::RecoveryFailed);
        told.message = format!("attempt {count}");
        scene.reporter.tell(told);
        let asked = scene.change().await;
        assert_eq!(asked.body["count"], count);
        assert_eq!(asked.body["message"], format!("attempt {count}"));
        if count == 1 {
            let name = asked.body["metadata"]["name"].as_str().expect("a name");
            made = format!("/api/v1/namespaces/shop/events/{name}");
        }
        assert_eq!(asked.path == made, count > 1, "{}", asked.path);
    }
    scene.reporter.tell(of_pod("db-0", Reason::DataLost));
    assert_eq!(scene.change().await.method, Method::POST);
    let posted = scene.metric("events_posted_total{reason=\"RecoveryFailed\"}");
    assert_eq!(posted, 3);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_the_api_server_forgot_is_made_anew() {
    let mut scene = Scene::new(Behaviour::Forgets);
    let told = of_pod("db-0", Reason::PathLost);
    scene.reporter.tell(told.clone());
    assert_eq!(scene.change().await.method, Method::POST);
    scene.reporter.tell(told);
    assert_eq!(scene.change().await.method, Method::PATCH);
    let asked = scene.change().await;
    assert_eq!(asked.method, Method::POST);
    assert_eq!(asked.body["count"], 2);
}

#[tokio::test(start_paused = true)]
async fn the_name_of_an_event_is_one_whatever_the_name_of_its_object() {
    let mut scene = Scene::new(Behaviour::Works);
    let long = format!("{}.{}", "a".repeat(199), "b".repeat(53));
    scene.reporter.tell(of_pod(&long, Reason::PathLost));
    let asked = scene.change().await;
    let name = asked.body["metadata"]["name"].as_str().expect("a name");
    assert!(name.len() <= 253 && !name.contains(".."), "{name}");
    assert_eq!(asked.object(), long);
}
