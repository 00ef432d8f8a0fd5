//! Bringing volumes back: what was staged is compared with what is there, and the difference is made
//! good, for as long as a volume is staged here.
//!
//! ```text
//! tree changed, or a second passed → keeper: look → detect (pure) → ledger (pure) → apply → Volumes
//! a disk is removed → removals: its map is suspended at once
//! ```
//!
//! [`detect`] says what is wrong, the ledger when to do what about it, and [`Volumes`] does it, with
//! the same locks and the same host as the calls of kubelet. Invariants: what cannot be read is
//! neither stale nor healthy; the keeper never waits for the lock of a volume, whose holder may wait
//! for the very I/O that the keeper is about to free.
//!
//! [`Volumes`]: crate::volume::Volumes

mod action;
mod apply;
pub mod detect;
mod keeper;
mod ledger;
mod removals;

pub use keeper::Keeper;
