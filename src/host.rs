//! This machine as the command line and the driver see it: mounts, block devices, and who uses
//! them.
//!
//! Everything here only reads, and only below the root that the caller names, so that it runs on a
//! captured tree as on a node. One invariant: what could not be read is reported as unknown, never
//! taken for "not in use".

pub mod block;
pub mod last_path;
pub mod mountinfo;
pub mod processes;
pub mod swap;
pub mod usage;
