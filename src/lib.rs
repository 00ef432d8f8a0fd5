//! NVMe over Fabrics volumes that stay accessible: from the command line, and for Kubernetes.
//!
//! Two crates do the talking to the kernel and know nothing of this program: [`nvme_sysfs`] reads
//! what exists (subsystems, controllers, namespaces, paths; uevents), [`nvme_fabrics`] changes it
//! (connect, disconnect, discover, tune).
//!
//! # Flow of one command
//!
//! ```text
//! arguments → config → cli::VERB: options → run → print
//!                                            │
//!               ┌────────────────────────────┼───────────────────┐
//!          nvme_fabrics                 nvme_sysfs              host
//!       /dev/nvme-fabrics            /sys, uevents       /proc, block devices
//! ```
//!
//! # Flow of one call of kubelet
//!
//! ```text
//! socket → csi::node → csi::request → host::blocking → volume → { watch, host } → kernel
//!              ↑                                          │
//!          csi::answer, or csi::status for an error ←─────┘
//! ```
//!
//! # Flow of one call of the attacher
//!
//! ```text
//! socket → csi::controller → csi::request → cluster → API server
//! ```
//!
//! A uevent or a timer makes [`watch`] publish a new tree, for which [`volume`] waits, and from which [`recovery`] finds
//! what is wrong and brings it back.
//!
//! All paths are taken below one root, so the whole program also runs on a captured tree. Errors
//! rise as types and are told once, in [`cli::exit`], which also maps them to exit codes.
//!
//! # Map
//!
//! | module | what it is for |
//! |---|---|
//! | [`config`] | the options and settings that every verb shares |
//! | [`cli`] | the command line, the verbs, their output and exit codes |
//! | [`serve`] | the node plugin and the controller as a whole: sockets, wiring, shutdown |
//! | [`csi`] | the edge to kubelet and the attacher: messages to typed requests, errors to codes |
//! | [`cluster`] | which volumes and nodes the cluster knows, and which node has which volume |
//! | [`report`] | metrics, probes, readiness |
//! | [`recovery`] | what is done for volumes without a call: what was found, what to do about it, when, and what came of it |
//! | [`volume`] | what a volume goes through on a node: attach, stage, publish, expand, and back |
//! | [`watch`] | the tree of NVMe devices, kept current |
//! | [`host`] | this machine: mounts, filesystems, block devices, who uses a disk |

mod backoff;
mod causes;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod csi;
pub mod host;
mod namespace_id;
pub mod recovery;
pub mod report;
pub mod serve;
mod shared;
pub mod volume;
pub mod watch;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
