//! Connect to NVMe over Fabrics subsystems through `/dev/nvme-fabrics`.

mod cause;
mod device;
mod disconnect;
mod discovery;
mod encode;
mod error;
mod exclusions;
mod existing;
mod fabrics;
mod firmware;
mod held;
mod identity;
mod kmsg;
mod numeric;
mod options;
mod portal;
mod registry;
mod replace;
mod reply;
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
pub use error::{ConnectError, Explanation, RetryClass};
pub use exclusions::{Connection, Exclusion, Exclusions, ExclusionsError, IgnoredLine};
pub use fabrics::{ConnectHow, Connected, Fabrics};
pub use identity::{HostIdentity, IdentityError, IdentitySource, LoadedIdentity};
pub use numeric::{NumericAddress, ParseAddressError};
pub use options::{ConnectOptions, ConnectOptionsBuilder, KeySerial, ParseKeySerialError};
pub use portal::{DialError, Portal};
pub use registry::{OWNER, Registry, RegistryError};
pub use reply::{Reply, ReplyError};
pub use rules::{MAX_CONNECT_NQN, OptionProblem, OptionsError};
pub use secret::{ParseSecretError, ReadSecretError, Secret};
pub use supported::{SupportedError, SupportedOptions, SupportedSource};
pub use token::TokenSet;
pub use tune::{TuneError, Tuning};
