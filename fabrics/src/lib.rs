//! Connect to NVMe over Fabrics subsystems through `/dev/nvme-fabrics`.

mod address_rules;
mod cause;
mod device;
mod disconnect;
mod discovery;
mod encode;
mod errno;
mod error;
mod exclusions;
mod existing;
mod fabrics;
mod firmware;
#[cfg(test)]
mod fixture;
mod held;
mod identity;
mod key_serial;
mod kmsg;
mod numeric;
mod options;
mod portal;
mod problem;
mod registry;
mod replace;
mod reply;
mod retry;
mod rules;
mod secret;
mod supported;
mod token;
mod tune;

pub use cause::{Cause, Digest, Switch, cause};
pub use device::{OpenDeviceError, connect};
pub use disconnect::{DisconnectError, Disconnected};
pub use discovery::{
    AddressFamily, ControllerId, DiscoverError, Discovery, DiscoveryEntry, DiscoveryHeader,
    EntryFlags, HeaderError, MalformedEntry, ReadLogError, ReferralFailure, SecureChannel, Subtype,
    TcpSecurity,
};
pub use encode::{EncodedOptions, MAX_ENCODED};
pub use error::{ConnectError, Explanation};
pub use exclusions::{Connection, Exclusion, Exclusions, ExclusionsError, IgnoredLine};
pub use fabrics::{ConnectHow, Connected, Fabrics};
pub use identity::{HostIdentity, IdentityError, IdentitySource, LoadedIdentity};
pub use key_serial::{KeySerial, ParseKeySerialError};
pub use numeric::{NumericAddress, ParseAddressError};
pub use options::{ConnectOptions, ConnectOptionsBuilder};
pub use portal::{DialError, Portal};
pub use problem::{OptionProblem, OptionsError};
pub use registry::{OWNER, Registry, RegistryError};
pub use reply::{Reply, ReplyError};
pub use retry::RetryClass;
pub use rules::MAX_CONNECT_NQN;
pub use secret::{ParseSecretError, ReadSecretError, Secret};
pub use supported::{SupportedError, SupportedOptions, SupportedSource};
pub use token::TokenSet;
pub use tune::{TuneError, Tuning};
