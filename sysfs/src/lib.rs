//! NVMe subsystems, controllers and namespaces as Linux shows them in sysfs.

mod address;
mod attribute;
mod controller;
mod device;
mod entry;
mod error;
mod identity;
mod list;
mod namespace;
mod nqn;
mod path;
mod scan;
mod socket;
mod subsystem;
mod tree;
mod uevent;
mod value;
mod word;

pub use address::{Transport, TransportAddress};
pub use controller::{
    Controller, ControllerLoss, ControllerState, ControllerType, DiscoveryType, FastIoFail,
    KeepAlive,
};
pub use device::{DevT, Diskseq, Instance, ParseDeviceError};
pub use error::ScanError;
pub use identity::{Eui64, NamespaceIdentity, Nguid, Nsid, ParseIdentityError, Uuid, Wwid};
pub use list::{ListedHost, ListedPath, ListedSubsystem};
pub use namespace::{Namespace, NamespaceKind};
pub use nqn::{Nqn, ParseNqnError};
pub use path::{AnaState, NamespacePath};
pub use scan::Sysfs;
pub use socket::{Received, UeventSocket, UeventSocketError};
pub use subsystem::{IoPolicy, Subsystem, SubsystemType};
pub use tree::{AmbiguousNamespace, NamespaceSelector, Tree};
pub use uevent::{Action, ParseUeventError, Uevent};
