//! The edge to kubelet and the attacher: messages in, typed requests further down, and codes back.
//!
//! Only here is it known that there is a protocol: [`crate::volume`] sees no message and no code,
//! and nothing here sees a path of the kernel. A call goes through `request` (the only source of
//! INVALID_ARGUMENT), into a thread that may block, and comes back through `answer` or `status` (the
//! only place with codes).

mod answer;
pub mod call;
mod capability;
pub mod codec;
pub mod controller;
mod deadline;
pub mod driver_name;
pub mod identity;
mod invalid;
pub mod node;
mod parameters;
pub mod registration;
mod request;
pub mod services;
mod status;
mod user;

pub use capability::MAX_FLAGS;
pub use parameters::{SECRET_NAMES, parameter_bounds, parameter_names};

/// The messages and services of the protocol, generated from `csi.proto` (the test `protocol` compares).
#[expect(clippy::too_many_lines, reason = "written by tonic-prost-build")]
pub mod proto {
    include!("csi/wire/csi.v1.rs");
}

/// The messages and the service of kubelet's plugin registration, made from
/// `pluginregistration.proto`.
#[expect(clippy::too_many_lines, reason = "written by tonic-prost-build")]
pub mod registration_proto {
    include!("csi/wire/pluginregistration.rs");
}
