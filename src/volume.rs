//! What a volume goes through on this node: attach, stage, publish, expand, and back.
//!
//! `Volumes` is the whole of it; the requests it takes are the types of [`request`]. Everything
//! here blocks, reads the machine only below the root that it was given, and changes it only
//! through the `Host` that it was given.

mod capability;
mod mount_flag;
pub mod request;
mod source;
mod text;
mod volume_id;
