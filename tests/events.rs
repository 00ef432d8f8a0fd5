//! Events: what is told becomes an event on claim and pods, whatever the API server does.
//!
//! The API server is a double below the real client: it sees each request as it is on the wire.

#[path = "common/machine/mod.rs"]
#[expect(
    dead_code,
    reason = "shared with tests/volume.rs, which uses all of it"
)]
mod machine;
#[path = "volume/requests.rs"]
#[expect(
    dead_code,
    reason = "shared with tests/volume.rs, which uses all of it"
)]
mod requests;

#[path = "events/api_server.rs"]
mod api_server;
#[path = "events/claims.rs"]
mod claims;
#[path = "events/outage.rs"]
mod outage;
#[path = "events/posted.rs"]
mod posted;
#[path = "events/refused.rs"]
mod refused;
#[path = "events/said.rs"]
mod said;
#[path = "events/volumes.rs"]
mod volumes;
