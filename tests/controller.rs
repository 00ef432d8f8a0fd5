//! The controller from outside: gRPC over its socket, and behind it a double of the API server.
//! `tests/cluster.rs` asks a real one.

#![expect(
    clippy::disallowed_methods,
    reason = "these tests run the program itself"
)]

#[path = "controller/api_server.rs"]
mod api_server;
#[path = "controller/requests.rs"]
mod requests;
#[path = "controller/scene.rs"]
mod scene;

#[path = "controller/admin.rs"]
mod admin;
#[path = "controller/handover.rs"]
mod handover;
#[path = "controller/identity.rs"]
mod identity;
#[path = "controller/invalid.rs"]
mod invalid;
#[path = "controller/outage.rs"]
mod outage;
#[path = "controller/program.rs"]
mod program;
#[path = "controller/publish.rs"]
mod publish;
#[path = "controller/races.rs"]
mod races;
#[path = "controller/validate.rs"]
mod validate;
