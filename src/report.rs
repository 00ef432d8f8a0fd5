//! What others are told of this program's work: events, numbers for Prometheus, and
//! whether it can work.
//!
//! A leaf: whoever has something to tell calls it, and it calls nobody back.

pub mod admin;
mod ask;
mod backlog;
mod claims;
mod cluster;
mod complaints;
mod event;
pub mod metrics;
mod objects;
pub mod outcome;
pub mod poster;
mod rate;
pub mod readiness;
pub mod reporter;
mod series;

pub use ask::ApiError;
