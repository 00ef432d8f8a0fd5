//! Real kernels in QEMU, and captured pieces of them, for tests.
//!
//! - [`suite`], [`kernels`], [`modules`]: which kernels, where they come from, what they load.
//! - [`cpio`], [`initramfs`], [`programs`], [`peers`], [`debian_host`]: what the guest finds.
//! - [`qemu`], [`protocol`]: a boot and the lines it speaks; [`guest`] is the side that runs as PID 1.
//! - [`kubernetes`], [`kubelet`]: the programs of a cluster, and clients that dial as kubelet does.
//! - [`cluster`]: all of a cluster on one node, in a guest.
//! - [`available()`]: whether the lab can be had, without changing anything; [`setup`] makes it so.
//! - [`changed`]: which tests a change touches.
//! - [`faults`]: the table of what the rows about failing targets print.
//! - [`tree`]: a captured sysfs as one text file.

#![expect(
    clippy::disallowed_methods,
    reason = "the lab runs apt, QEMU and the programs under test"
)]

pub mod apt;
pub mod availability;
pub mod changed;
pub mod cluster;
pub mod command;
pub mod cpio;
pub mod debian_host;
pub mod faults;
pub mod golang;
pub mod guest;
pub mod initramfs;
pub mod kernels;
pub mod kubelet;
pub mod kubernetes;
pub mod modules;
pub mod peers;
pub mod place;
pub mod programs;
pub mod protocol;
pub mod published;
pub mod qemu;
pub mod sanity;
pub mod setup;
pub mod store;
pub mod suite;
pub mod tree;

mod console;

pub use availability::{Unavailable, available};
pub use debian_host::DebianHost;
pub use kernels::Kernel;
pub use kubernetes::Kubernetes;
pub use qemu::{Boot, BootError, Clock, GuestExit};
pub use suite::Suite;
