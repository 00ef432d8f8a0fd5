//! The keys of a volume context, by whatever name they come.
//!
//! What other drivers write is in [`foreign`](super::foreign).

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use nvme_fabrics::{TUNING, TokenSet, TuningOption};

use super::Map;
use super::driver::Driver;
use crate::csi::invalid::InvalidRequest;

/// What a value is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Nqn,
    Addresses,
    /// One address without its port.
    Address,
    /// The port of [`Key::Address`].
    Port,
    /// The address of a target's management, which may be its only one.
    ManagementAddress,
    /// Addresses and ports in JSON.
    Connections,
    /// Addresses with their transport, as URLs.
    Transports,
    Transport,
    NamespaceUuid,
    NamespaceNguid,
    NamespaceEui64,
    Nsid,
    DeviceUuid,
    DeviceEui,
    DeviceId,
    HostNqn,
    HostId,
    HostIface,
    HostTraddr,
    PathLossHold,
    PathLossTimeout,
    MultiMountProtection,
    /// The option of [`TUNING`] with this token.
    Tuning(TokenSet),
}

/// The names beside those of [`TUNING`].
const KEYS: [(&str, Key); 33] = [
    ("nqn", Key::Nqn),
    ("addresses", Key::Addresses),
    ("targetTrEndpoint", Key::Addresses),
    ("nvmeAddress", Key::Address),
    ("targetTrAddr", Key::Address),
    ("targetAddr", Key::Address),
    ("server", Key::Address),
    ("address", Key::Address),
    ("rdsAddress", Key::ManagementAddress),
    ("connections", Key::Connections),
    ("transports", Key::Transports),
    ("nvmePort", Key::Port),
    ("targetTrPort", Key::Port),
    ("targetPort", Key::Port),
    ("port", Key::Port),
    ("transport", Key::Transport),
    ("targetTrType", Key::Transport),
    ("targetType", Key::Transport),
    ("namespaceUUID", Key::NamespaceUuid),
    ("namespaceNGUID", Key::NamespaceNguid),
    ("namespaceEUI64", Key::NamespaceEui64),
    ("nsid", Key::Nsid),
    ("nsId", Key::Nsid),
    ("deviceUUID", Key::DeviceUuid),
    ("deviceEUI", Key::DeviceEui),
    ("deviceID", Key::DeviceId),
    ("hostNqn", Key::HostNqn),
    ("hostId", Key::HostId),
    ("hostIface", Key::HostIface),
    ("hostTraddr", Key::HostTraddr),
    ("pathLossHold", Key::PathLossHold),
    ("pathLossTimeout", Key::PathLossTimeout),
    ("multiMountProtection", Key::MultiMountProtection),
];

/// Every name that a parameter can have, those of other drivers included.
pub fn parameter_names() -> impl Iterator<Item = String> {
    let tuning = TUNING.iter().map(name_of);
    KEYS.iter()
        .map(|(name, _)| (*name).to_owned())
        .chain(tuning)
}

/// The kernel's name in the spelling of Kubernetes: `queueSize` for `queue_size`.
fn name_of(option: &TuningOption) -> String {
    let token = option.token.to_string();
    let mut words = token.split('_');
    let mut name = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at(1);
        name += &first.to_ascii_uppercase();
        name += rest;
    }
    name
}

fn find_key(name: &str, value: &str) -> Option<Key> {
    let key = KEYS.iter().find(|(known, _)| *known == name);
    match key {
        Some((_, Key::Transport)) if value.contains("://") => Some(Key::Transports),
        Some((_, key)) => Some(*key),
        None => {
            let option = TUNING.iter().find(|option| name_of(option) == name);
            option.map(|option| Key::Tuning(option.token))
        }
    }
}

/// A name without what two spellings of it may differ in: capitals, `_` and `-`.
pub(super) fn letters(name: &str) -> String {
    let name = name.replace(['_', '-'], "");
    name.to_ascii_lowercase()
}

/// Whether a name is one of these but for its spelling: whoever wrote it meant that.
fn is_misspelt(name: &str) -> bool {
    let letters = letters(name);
    parameter_names().any(|known| self::letters(&known) == letters)
}

/// How many addresses a volume may have: each is a controller of its own, which is dialled, kept, and connected again. A
/// target with more ports than that serves any node by some of them.
pub(super) const MAX_ADDRESSES: usize = 32;
/// How many bytes a value may have: more than so many addresses of the longest form need.
pub(super) const MAX_VALUE: usize = 4096;
/// How many seconds a time may last: what the kernel's own numbers of seconds hold (`int`).
pub(super) const MAX_SECONDS: u64 = 2_147_483_647;
/// How much of a name that is not known is repeated.
const SHOWN: usize = 128;

/// The bounds that are this program's own and not the kernel's, by the name of the parameter; without a name, that of
/// every value in bytes.
pub fn parameter_bounds() -> [(Option<&'static str>, u64); 3] {
    [
        (Some("addresses"), MAX_ADDRESSES as u64),
        (Some("pathLossTimeout"), MAX_SECONDS),
        (None, MAX_VALUE as u64),
    ]
}

/// Keys of Kubernetes itself: the provisioner's and, with `podInfoOnMount`, kubelet's.
const KUBERNETES: &str = "csi.storage.k8s.io/";

/// What external-provisioner adds to every volume that it makes.
const PROVISIONER: &str = "storage.kubernetes.io/csiProvisionerIdentity";

/// The values that were given, each with the name under which it came.
#[derive(Debug)]
pub(super) struct Given<'a> {
    values: BTreeMap<Key, (&'a str, &'a str)>,
    /// Who made the volume, if it was not this driver.
    pub(super) driver: Option<Driver>,
}

/// How a message names the key.
pub(super) fn field(name: &str) -> String {
    let name = &name[..name.floor_char_boundary(SHOWN)];
    format!("volume_context[{name:?}]")
}

impl<'a> Given<'a> {
    /// Sorts a context out, and refuses unknown keys, a key under two names, and separators of the
    /// kernel's option string. Keys of another driver's own are passed over and logged.
    pub(super) fn collect(context: &'a Map) -> Result<Given<'a>, InvalidRequest> {
        let (driver, mut values, mut passed_over) = (Driver::of(context), BTreeMap::new(), vec![]);
        for (name, value) in context {
            if name.starts_with(KUBERNETES) || name == PROVISIONER {
                continue;
            }
            let key = match find_key(name, value) {
                Some(key) => key,
                None if driver.is_some_and(|it| it.passes_over(name)) && !is_misspelt(name) => {
                    passed_over.push(&name[..name.floor_char_boundary(SHOWN)]);
                    continue;
                }
                None => {
                    let rule = "is not a known parameter";
                    return Err(InvalidRequest::field(field(name), rule));
                }
            };
            if driver.is_some_and(|driver| driver.says_nothing(key, value)) {
                continue;
            }
            check_length(name, value, key)?;
            check_characters(name, value, key)?;
            if let Some((other, _)) = values.insert(key, (name.as_str(), value.as_str())) {
                let rule = format!("says the same as {other:?}: only one may be given");
                return Err(InvalidRequest::value(field(name), value, rule));
            }
        }
        if let (Some(driver), false) = (driver, passed_over.is_empty()) {
            tracing::info!(?driver, keys = ?passed_over, "keys of another driver are passed over");
        }
        Ok(Given { values, driver })
    }

    pub(super) fn value(&self, key: Key) -> Option<&'a str> {
        self.values.get(&key).map(|(_, value)| *value)
    }

    /// The name under which `key` came.
    pub(super) fn name(&self, key: Key) -> Option<&'a str> {
        self.values.get(&key).map(|(name, _)| *name)
    }

    /// The value of `key` as its type.
    pub(super) fn parsed<T: FromStr<Err: Display>>(
        &self,
        key: Key,
    ) -> Result<Option<T>, InvalidRequest> {
        self.parsed_by(key, str::parse)
    }

    pub(super) fn parsed_by<T, E: Display>(
        &self,
        key: Key,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, InvalidRequest> {
        let parsed = self.value(key).map(parse).transpose();
        parsed.map_err(|error| self.refusal(key, format!("is not valid: {error}")))
    }

    /// The error that the value of `key`, which was given, breaks `rule`.
    pub(super) fn refusal(&self, key: Key, rule: impl Display) -> InvalidRequest {
        let (name, value) = self.values.get(&key).copied().unwrap_or_default();
        InvalidRequest::value(field(name), value, rule)
    }

    /// The key that was given for an option of the kernel.
    pub(super) fn key_of(&self, option: TokenSet) -> Option<Key> {
        let mut keys = self.values.keys().copied();
        keys.find(|key| token(*key) == option)
    }
}

/// The option of the kernel that a key sets; empty for those that set none or several.
fn token(key: Key) -> TokenSet {
    match key {
        Key::Nqn => TokenSet::NQN,
        Key::Transport => TokenSet::TRANSPORT,
        Key::Tuning(token) => token,
        Key::HostIface => TokenSet::HOST_IFACE,
        Key::HostTraddr => TokenSet::HOST_TRADDR,
        _ => TokenSet::empty(),
    }
}

/// Whoever writes a PersistentVolume may write anything.
fn check_length(name: &str, value: &str, key: Key) -> Result<(), InvalidRequest> {
    let addresses = value.split(',').count();
    let is_list = matches!(key, Key::Addresses | Key::Transports);
    let rule = if is_list && addresses > MAX_ADDRESSES {
        format!("has {addresses} addresses, at most {MAX_ADDRESSES} are allowed")
    } else if value.len() > MAX_VALUE {
        let bytes = value.len();
        format!("has {bytes} bytes, at most {MAX_VALUE} are allowed")
    } else {
        return Ok(());
    };
    Err(InvalidRequest::field(field(name), rule))
}

/// The kernel splits its option string at commas and line breaks and has no escape for either.
fn check_characters(name: &str, value: &str, key: Key) -> Result<(), InvalidRequest> {
    let is_list = matches!(key, Key::Addresses | Key::Connections | Key::Transports);
    let is_separator = |c: char| c.is_control() || (c == ',' && !is_list);
    if value.is_empty() {
        Err(InvalidRequest::field(field(name), "is empty"))
    } else if value.contains(is_separator) {
        let rule = "holds a comma, a line break or another control character";
        Err(InvalidRequest::value(field(name), value, rule))
    } else {
        Ok(())
    }
}
