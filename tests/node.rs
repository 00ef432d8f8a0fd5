//! The node plugin from outside: gRPC over its sockets, on a captured machine and a host that
//! changes it.

#![expect(
    clippy::disallowed_methods,
    reason = "these tests run the program itself"
)]

#[path = "common/machine/mod.rs"]
#[expect(
    dead_code,
    reason = "shared with tests/volume.rs, which uses all of it"
)]
mod machine;

#[path = "node/plugin.rs"]
mod plugin;
#[path = "node/requests.rs"]
mod requests;

#[path = "node/admin.rs"]
mod admin;
#[path = "node/any_client.rs"]
mod any_client;
#[path = "node/calls.rs"]
mod calls;
#[path = "node/codes.rs"]
mod codes;
#[path = "node/deadline.rs"]
mod deadline;
#[path = "node/every_call.rs"]
mod every_call;
#[path = "node/every_code.rs"]
mod every_code;
#[path = "node/identity.rs"]
mod identity;
#[path = "node/invalid.rs"]
mod invalid;
#[path = "node/life.rs"]
mod life;
#[path = "node/parameters.rs"]
mod parameters;
#[path = "node/privileges.rs"]
mod privileges;
#[path = "node/program.rs"]
mod program;
#[path = "node/registration.rs"]
mod registration;
#[path = "node/told.rs"]
mod told;
