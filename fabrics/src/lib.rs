//! Connect to NVMe over Fabrics subsystems by talking to the Linux kernel directly.
//!
//! A connect is one line of options written to `/dev/nvme-fabrics`. This crate makes that safe:
//! the options are typed and checked, the TCP portal is dialled before the kernel's global lock
//! is taken, what exists is adopted instead of failing, and the kernel's bare error numbers are
//! turned into causes. It needs no nvme-cli, no libnvme and no udev, and it blocks: use a thread.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use nvme_fabrics::{ConnectOptions, ConnectTuning, Fabrics, HostIdentity};
//! use nvme_sysfs::{ControllerLoss, Transport};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let host = HostIdentity::load_or_generate("/")?.identity;
//! let nqn = "nqn.2024-01.com.example:volume-1".parse()?;
//! let options = ConnectOptions::builder(Transport::Tcp, nqn)
//!     .traddr("192.0.2.10")
//!     .hostnqn(host.hostnqn)
//!     .hostid(host.hostid)
//!     .tuning(ConnectTuning { ctrl_loss_tmo: Some(ControllerLoss::Never), ..Default::default() })
//!     .build()?;
//!
//! let fabrics = Fabrics::at("/");
//! let connected = fabrics.connect(&options, Duration::from_secs(3))?;
//! println!("{} is {}", connected.controller, connected.state);
//!
//! fabrics.disconnect(connected.controller, options.nqn(), Duration::from_secs(60))?;
//! # Ok(())
//! # }
//! ```
//!
//! What it does, and where:
//! - [`ConnectOptions`]: what to ask for; [`SupportedOptions`]: what the running kernel takes
//! - [`Fabrics::connect`], [`Fabrics::disconnect`], [`Fabrics::tune`],
//!   [`Fabrics::rescan`], [`Fabrics::discover`]
//! - [`connect`]: the bare conversation with the device, for anything that reads and writes
//! - [`ConnectError`] with its [`Refusal`], [`RetryClass`] and, from the kernel's log, its [`Cause`]
//! - [`HostIdentity`]: hostnqn and hostid; [`machine_uuid`]: what the firmware has for them
//! - [`Secret`]: DH-HMAC-CHAP keys
//! - [`Registry`] and [`Exclusions`]: living together with libnvme 3 and nvme-stas
//!
//! Every path is taken below a root that the caller gives.

mod address_rules;
mod bounded;
mod cause;
mod create;
mod device;
mod disconnect;
mod discovery;
mod encode;
mod error;
mod exclusions;
mod existing;
mod fabrics;
mod firmware;
#[cfg(test)]
mod fixture;
mod held;
mod identity;
mod intent;
mod iopolicy;
mod key_serial;
mod kmsg;
mod message;
pub mod number;
mod numeric;
mod open;
mod options;
mod owner;
mod portal;
mod problem;
mod refusal;
mod registry;
mod replace;
mod reply;
mod rescan;
mod retry;
mod rules;
mod secret;
mod supported;
mod token;
mod tune;
mod tuning;

pub use cause::{Cause, Digest, Switch};
pub use device::connect;
pub use disconnect::{DisconnectError, Disconnected, Leaving};
pub use discovery::{
    AddressFamily, ControllerId, DiscoverError, Discovery, DiscoveryEntry, DiscoveryHeader,
    EntryFlags, HeaderError, MalformedEntry, ReadLogError, ReferralFailure, SecureChannel, Subtype,
    TcpSecurity,
};
pub use encode::EncodedOptions;
pub use error::ConnectError;
pub use exclusions::{Candidate, Exclusion, Exclusions, Ignored};
pub use fabrics::{ConnectHow, Connected, Fabrics};
pub use firmware::{IdentitySource, machine_uuid};
pub use identity::{HostIdentity, IdentityError, LoadedIdentity, Stored, Unstored};
pub use iopolicy::IoPolicyError;
pub use key_serial::{KeySerial, ParseKeySerialError};
pub use kmsg::KernelLog;
pub use message::cause;
pub use numeric::{NumericAddress, ParseAddressError};
pub use open::OpenDeviceError;
pub use options::{ConnectOptions, ConnectOptionsBuilder};
pub use owner::Owner;
pub use portal::{DialError, Portal};
pub use problem::{OptionProblem, OptionsError};
pub use refusal::{Explanation, Refusal, Refused, RetryClass};
pub use registry::{Registry, RegistryError};
pub use reply::{Reply, ReplyError};
pub use rescan::RescanError;
pub use rules::MAX_CONNECT_NQN;
pub use secret::{GenerateSecretError, ParseSecretError, ReadSecretError, Secret, SecretHash};
pub use supported::{SupportedError, SupportedOptions, SupportedSource};
pub use token::{MAX_ENCODED, TokenSet};
pub use tune::{TuneError, Tuning};
pub use tuning::{ConnectTuning, TUNING, TuningKind, TuningOption, TuningValueError};
