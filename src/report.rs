//! What others are told of this program's work: events, numbers for Prometheus, and
//! whether it can work.
//!
//! A leaf: whoever has something to tell calls it, and it calls nobody back.

pub mod admin;
pub mod metrics;
mod objects;
pub mod outcome;
pub mod poster;
pub mod readiness;
pub mod reporter;
mod series;

pub use objects::ApiError;
