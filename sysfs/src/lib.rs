//! NVMe subsystems, controllers and namespaces as Linux shows them in sysfs, and the uevents that tell of changes.
//!
//! Two halves that meet in plain values:
//!
//! - Reading: [`Sysfs::scan`] takes a snapshot of `class/nvme-subsystem` and `class/nvme`, a [`Tree`];
//!   [`Sysfs::list`] takes only what `nvme list-subsys -o json` prints. [`UeventSocket`] waits for the kernel to say that
//!   a new snapshot is worth while. Every path is joined to a root given from outside, so that a captured sysfs reads like
//!   a running one.
//! - Asking: lookups are pure functions of the tree, and so is every parser ([`Nqn`], [`TransportAddress`],
//!   [`Uevent::parse`]).
//!
//! Nothing is written, no other program is run, nothing needs udev. Attributes that make the kernel ask the target
//! (`nuse`) or that may hold a secret (`dhchap_secret`, `tls_key`, …) are never opened.
//!
//! What a kernel does not have is `None`. What vanishes during a scan is left out. Anything else that goes wrong is noted
//! with its path where it belongs, as [`Unknown`], and hides nothing else: "cannot be read" is never taken for "is not
//! there", so what is asked of a tree is refused where it depends on something unknown ([`Tree::find_namespace`],
//! [`Tree::require`]).
//!
//! # Example
//! Which disk holds a namespace, and over which paths?
//!
//! ```no_run
//! use nvme_sysfs::{NamespaceSelector, Nqn, Sysfs};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tree = Sysfs::at("/").scan()?;
//! let nqn: Nqn = "nqn.2024-01.com.example:vol1".parse()?;
//! let uuid = "0f01fb42-9f7f-4856-b0b3-51e60b8de349".parse()?;
//! if let Some(namespace) = tree.find_namespace(&nqn, &NamespaceSelector::Uuid(uuid))? {
//!     println!("{}: {} bytes", namespace.name, namespace.size_bytes);
//!     for (controller, path) in tree.paths_of(namespace) {
//!         println!("  {} {} {:?}", controller.address, controller.state, path.ana_state);
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod address;
mod attribute;
mod controller;
mod device;
mod diagnostics;
mod entry;
mod error;
mod filling;
mod identity;
mod list;
mod namespace;
mod nqn;
mod parameters;
mod path;
mod reader;
mod scan;
mod socket;
mod subsystem;
mod tree;
mod uevent;
mod value;
mod word;

pub use address::{Transport, TransportAddress, same_address};
pub use controller::{
    Controller, ControllerLoss, ControllerState, ControllerType, DiscoveryType, FastIoFail,
    KeepAlive, TlsMode,
};
pub use device::{DevT, Diskseq, Instance, ParseDeviceError};
pub use diagnostics::{ControllerCounters, HeadCounters, PathCounters};
pub use error::{ScanError, Unknown};
pub use filling::without_filling;
pub use identity::{Eui64, NamespaceIdentity, Nguid, Nsid, ParseIdentityError, Uuid, Wwid};
pub use list::{ListedHost, ListedPath, ListedSubsystem, Listing};
pub use namespace::{Namespace, NamespaceKind};
pub use nqn::{Nqn, ParseNqnError};
pub use parameters::{CoreParameters, Parameters, TcpParameters};
pub use path::{AnaState, NamespacePath};
pub use scan::Sysfs;
pub use socket::{Received, UeventSocket, UeventSocketError};
pub use subsystem::{IoPolicy, Subsystem, SubsystemType};
pub use tree::{AmbiguousNamespace, Candidate, FindNamespaceError, NamespaceSelector, Tree};
pub use uevent::{Action, ParseUeventError, Uevent};
