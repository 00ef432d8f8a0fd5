//! What `deploy/` ships for a host and a cluster: each file agrees with the others and with the program.

#![expect(
    clippy::disallowed_methods,
    reason = "these tests run the program itself"
)]

#[path = "deploy/controller.rs"]
mod controller;
#[path = "deploy/daemonset.rs"]
mod daemonset;
#[path = "deploy/examples.rs"]
mod examples;
#[path = "deploy/files.rs"]
mod files;
#[path = "deploy/manifests.rs"]
mod manifests;
#[path = "deploy/parameters.rs"]
mod parameters;
#[path = "deploy/program.rs"]
mod program;
#[path = "deploy/rights.rs"]
mod rights;
