//! What others are told of this program's work: numbers for Prometheus, and whether it can work.
//!
//! A leaf: whoever has something to tell calls it, and it calls nobody back.

pub mod admin;
pub mod metrics;
pub mod outcome;
pub mod readiness;
