//! An API server that is slow, down, or does not know us, and what waits for it.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use nvmeof_csi::report::outcome::Reason;
use nvmeof_csi::report::reporter::Reporter;
use serde_json::Value;
use tokio::time::sleep;

use crate::api_server::{Asked, Behaviour, Scene, of_pod, outcome};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Each way in which an API server may be out.
const OUT: [Behaviour; 7] = [
    Behaviour::Silent,
    Behaviour::Gone,
    Behaviour::Refuses(401),
    Behaviour::Refuses(429),
    Behaviour::Refuses(500),
    Behaviour::Refuses(503),
    Behaviour::Refuses(504),
];

/// How many seconds ago a time of an event was.
fn age(time: &Value) -> i64 {
    let time: Timestamp = time.as_str().expect("a time").parse().expect("a time");
    Timestamp::now().as_second() - time.as_second()
}

fn objects(asked: &[Asked]) -> Vec<&str> {
    asked.iter().map(Asked::object).collect()
}

#[tokio::test(start_paused = true)]
async fn what_an_outage_kept_is_posted_in_order_within_minutes_and_with_its_real_times() {
    for out in OUT {
        let mut scene = Scene::new(Behaviour::Works);
        scene.reporter.came("volume-1", "pv-1");
        assert!(scene.asked().await.is_look());
        scene.pass(SECOND).await;
        scene.behave(out);
        let mut lost = outcome(Reason::PathLost);
        scene.reporter.tell(lost.clone());
        sleep(MINUTE).await;
        scene.reporter.tell(outcome(Reason::IdentityMismatch));
        sleep(MINUTE).await;
        // The same once more.
        lost.message = "no path for 150 s".to_owned();
        scene.reporter.tell(lost);
        scene.pass(58 * MINUTE).await;
        assert!(scene.metric("events_pending") >= 2, "{out:?}");
        assert_eq!(scene.held(), 0);

        scene.behave(Behaviour::Works);
        let asked = scene.pass(2 * MINUTE).await;
        assert_eq!(
            objects(&asked),
            ["found", "db-0", "found", "db-0"],
            "{out:?}"
        );
        let reasons = asked.iter().map(|asked| &asked.body["reason"]);
        assert!(reasons.is_sorted_by_key(|reason| reason == "IdentityMismatch"));
        for asked in &asked[..2] {
            // Told an hour ago, and two minutes later again; and what passed until it was posted.
            let first = age(&asked.body["firstTimestamp"]);
            assert!((3600..3600 + 180).contains(&first), "{out:?}: {first}");
            let last = age(&asked.body["lastTimestamp"]);
            // Of the clock, not of the test: a second may end between the two.
            assert!((119..=121).contains(&(first - last)), "{out:?}");
            assert_eq!(asked.body["count"], 2, "{out:?}");
            assert_eq!(asked.body["message"], "no path for 150 s");
        }
        assert_eq!(scene.metric("events_pending"), 0, "{out:?}");
        let posted = "events_posted_total{reason=\"IdentityMismatch\"}";
        assert_eq!(scene.metric(posted), 2, "{out:?}");
        assert_eq!(scene.reporter.dropped(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_api_server_is_waited_for() {
    let mut scene = Scene::new(Behaviour::Slow(25));
    scene.reporter.tell(outcome(Reason::PathLost));
    let asked = scene.pass(4 * MINUTE).await;
    let changes = asked.iter().filter(|asked| !asked.is_look());
    assert_eq!(changes.count(), 2, "{asked:?}");
    assert_eq!(scene.held(), 2);
    assert_eq!(scene.metric("events_posted_total{reason=\"PathLost\"}"), 2);
}

#[tokio::test(start_paused = true)]
async fn an_event_whose_answer_came_too_late_is_made_once() {
    let mut scene = Scene::new(Behaviour::Slow(3600));
    scene.reporter.tell(of_pod("db-0", Reason::PathLost));
    let asked = scene.pass(10 * MINUTE).await;
    assert!(asked.len() > 3, "{asked:?}");
    assert_eq!(scene.held(), 1);
    let mut again = of_pod("db-0", Reason::PathLost);
    again.message = "no path for an hour".to_owned();
    scene.reporter.tell(again);
    scene.pass(MINUTE).await;
    scene.behave(Behaviour::Works);
    let asked = scene.pass(2 * MINUTE).await;
    assert_eq!(scene.held(), 1);
    // What it counts is what happened, and not what the first attempt knew.
    let last = asked.iter().rfind(|asked| !asked.is_look());
    let last = &last.expect("a change").body;
    assert_eq!(last["count"], 2);
    assert_eq!(last["message"], "no path for an hour");
    assert_eq!(scene.metric("events_posted_total{reason=\"PathLost\"}"), 1);
    assert_eq!(scene.metric("events_pending"), 0);
    // And its repeat is a repeat.
    scene.all_asked();
    scene.reporter.tell(of_pod("db-0", Reason::PathLost));
    assert_eq!(scene.change().await.body["count"], 3);
}

#[tokio::test(start_paused = true)]
async fn telling_waits_for_no_answer_whatever_the_api_server_does() {
    for out in OUT {
        let scene = Scene::new(out);
        // Not the paused clock: that stands still while somebody is at work.
        let began = std::time::Instant::now();
        for number in 0..2000 {
            let name = format!("db-{number}");
            scene.reporter.tell(of_pod(&name, Reason::PathLost));
            scene.reporter.came(&name, "pv");
            scene.reporter.went(&name);
            tokio::task::yield_now().await;
        }
        // One call that waited for an answer would take ten seconds.
        assert!(began.elapsed() < Duration::from_secs(8), "{out:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_posted_at_a_measured_rate_and_whole() {
    let mut scene = Scene::new(Behaviour::Works);
    for number in 0..200 {
        let name = format!("db-{number}");
        scene.reporter.tell(of_pod(&name, Reason::PathLost));
    }
    let at_once = scene.pass(SECOND / 2).await;
    let changes = at_once.iter().filter(|asked| !asked.is_look());
    assert_eq!(changes.count(), 64);
    let later = scene.pass(60 * SECOND).await;
    assert_eq!(later.len(), 60);
    scene.pass(3 * MINUTE).await;
    assert_eq!(scene.held(), 200);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_dropped_counted_and_never_what_is_about_the_safety_of_data() {
    let mut scene = Scene::new(Behaviour::Gone);
    let tell = |reason, numbers: std::ops::Range<usize>| {
        for number in numbers {
            let name = format!("{reason:?}-{number}");
            scene.reporter.tell(of_pod(&name, reason));
        }
    };
    tell(Reason::DataLost, 0..2);
    tell(Reason::PathRestored, 0..300);
    tell(Reason::PathLost, 0..300);
    tell(Reason::IdentityMismatch, 0..2);
    assert_eq!(scene.reporter.dropped(), 92);
    let dropped = "events_dropped_total{reason=\"PathRestored\",cause=\"full\"}";
    assert_eq!(scene.metric(dropped), 92);
    assert_eq!(scene.metric("events_pending"), 512);
    scene.behave(Behaviour::Works);
    let asked = scene.pass(15 * MINUTE).await;
    let changes: Vec<&Asked> = asked.iter().filter(|asked| !asked.is_look()).collect();
    assert_eq!(changes.len(), 512);
    let names: Vec<&str> = changes.iter().map(|asked| asked.object()).collect();
    assert_eq!(names[..3], ["DataLost-0", "DataLost-1", "PathRestored-92"]);
    assert_eq!(names[511], "IdentityMismatch-1");
    assert_eq!(scene.metric("events_pending"), 0);
    assert_eq!(scene.reporter.dropped(), 0);
}

#[test]
fn a_reporter_outlives_whoever_posts() {
    let (reporter, outcomes) = Reporter::new();
    drop(outcomes);
    reporter.tell(outcome(Reason::PathLost));
    Reporter::silent().tell(outcome(Reason::PathLost));
}
