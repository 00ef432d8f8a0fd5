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

pub use parameters::{SECRET_NAMES, parameter_names};

/// The messages and services of the protocol, made from `csi.proto`.
#[expect(clippy::too_many_lines, reason = "written by tonic-prost-build")]
pub mod proto {
    tonic::include_proto!("csi.v1");
}

/// The messages and the service of kubelet's plugin registration, made from
/// `pluginregistration.proto`.
#[expect(clippy::too_many_lines, reason = "written by tonic-prost-build")]
pub mod registration_proto {
    tonic::include_proto!("pluginregistration");
}
