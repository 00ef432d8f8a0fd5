//! An outcome as the API server keeps it. Pure but for the clock: what was told some time ago gets the
//! time at which it was told.

use k8s_openapi::api::core::v1::{Event, EventSource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::backlog::Told;
use super::objects::Object;

/// How much of an object's name the name of its event may hold: 253 bytes are allowed in all, and the
/// reason and a time stand behind it.
const NAME: usize = 200;

/// Who reports events.
#[derive(Debug)]
pub(super) struct Author {
    pub(super) driver: String,
    pub(super) node: String,
}

/// What makes the names of the events of an outcome its own.
pub(super) fn stamp(told: &Told) -> i128 {
    wall(told.first).as_nanosecond()
}

/// An event that counts so many. Its name is the same at each attempt, so that one that was made
/// although its answer was lost is not made twice.
pub(super) fn event(
    author: &Author,
    told: &Told,
    stamp: i128,
    (object, count): (&Object, i32),
) -> Event {
    let reason = told.outcome.reason;
    let kept = &object.name[..object.name.floor_char_boundary(NAME)];
    let kept = kept.trim_end_matches(['.', '-']);
    let word = reason.as_str();
    let name = format!("{kept}.{}.{stamp:x}", word.to_ascii_lowercase());
    Event {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(object.namespace.clone()),
            ..ObjectMeta::default()
        },
        involved_object: object.reference(),
        reason: Some(word.to_owned()),
        type_: Some(reason.severity().as_str().to_owned()),
        message: Some(told.outcome.message.clone()),
        count: Some(count),
        first_timestamp: Some(Time(wall(told.first))),
        last_timestamp: Some(Time(wall(told.last))),
        reporting_component: Some(author.driver.clone()),
        reporting_instance: Some(author.node.clone()),
        source: Some(EventSource {
            component: Some(author.driver.clone()),
            host: Some(author.node.clone()),
        }),
        ..Event::default()
    }
}

/// What changes in an event that counts so many from now on.
pub(super) fn raise(told: &Told, count: i32) -> Value {
    json!({
        "count": count,
        "lastTimestamp": Time(wall(told.last)),
        "message": told.outcome.message,
    })
}

/// What the clock showed then.
fn wall(then: Instant) -> Timestamp {
    let now = Timestamp::now();
    now.checked_sub(then.elapsed()).unwrap_or(now)
}
