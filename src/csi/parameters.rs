//! The StorageClass's parameters, which arrive as the volume context, and the node's secrets.
//!
//! | key | meaning |
//! |---|---|
//! | `nqn` | subsystem, required |
//! | `addresses` | `IP[:port]`, separated by commas, IPv6 in brackets; all are connected |
//! | `transport` | `tcp` (default), `rdma`, `loop` |
//! | `namespaceUUID`, `namespaceNGUID`, `namespaceEUI64`, `nsid` | which namespace; default: the only one |
//! | `hostIface`, `hostTraddr` | where to connect from |
//! | `ctrlLossTmo` and the other names of [`TUNING`](nvme_fabrics::TUNING) | the kernel's options |
//! | `pathLossHold`, `pathLossTimeout` | what happens to I/O while no path exists |
//! | `multiMountProtection` | whether ext4 refuses a second mount |
//!
//! What other drivers call the same is in [`foreign`]. Invariant: a [`Source`] that comes out
//! of here makes connect options that the kernel's parser takes, and no value smuggles in another
//! option. Every value has a bound, for whoever writes a PersistentVolume may write anything.

mod address;
mod driver;
mod foreign;
mod keys;
mod selector;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;

use nvme_fabrics::{HostIdentity, OptionProblem, OptionsError, Secret};
use nvme_sysfs::{Nqn, Transport, Uuid};

use super::invalid::InvalidRequest;
use crate::volume::request::{
    AccessType, FilesystemType, MultiMount, Secrets, Source, SourceTuning, VolumeId,
};
use crate::volume::{Hold, connect_options};
use driver::Driver;
use keys::{Given, Key};

pub use keys::{parameter_bounds, parameter_names};

/// The keys of a Secret for NodeStageVolume.
pub const SECRET_NAMES: [&str; 2] = ["dhchapSecret", "dhchapCtrlSecret"];

/// Names and values as they are on the wire.
pub(super) type Map = BTreeMap<String, String>;

/// What a context and its secrets say.
#[derive(Debug)]
pub(super) struct Parameters {
    /// Where the volume comes from.
    pub(super) source: Source,
    /// The keys for it.
    pub(super) secrets: Secrets,
    /// Whether its filesystem must refuse a second mount.
    pub(super) multi_mount: MultiMount,
}

impl Parameters {
    /// Refuses what the volume cannot have, used as what it is.
    pub(super) fn check(&self, access: &AccessType) -> Result<(), InvalidRequest> {
        let rule = match (self.multi_mount, access) {
            (MultiMount::Unprotected, _) => return Ok(()),
            (MultiMount::Protected, AccessType::Block) => {
                "is for ext4: a raw block volume has no filesystem"
            }
            (MultiMount::Protected, AccessType::Filesystem { fs, .. }) => match fs {
                FilesystemType::Ext4 => return Ok(()),
                FilesystemType::Xfs => "is for ext4: xfs cannot tell who else has it mounted",
            },
        };
        let field = keys::field("multiMountProtection");
        Err(InvalidRequest::value(field, "true", rule))
    }
}

/// Reads the context of a volume, and the keys for it.
pub(super) fn parse(
    volume_id: &VolumeId,
    context: &Map,
    secrets: &Map,
    host: &HostIdentity,
) -> Result<Parameters, InvalidRequest> {
    let given = Given::collect(context)?;
    check_host(&given, host)?;
    let secrets = parse_secrets(secrets)?;
    let transport = words::transport(&given)?;
    let source = Source {
        nqn: nqn(&given, volume_id)?,
        addresses: address::parse(&given, &transport)?,
        transport,
        which: selector::parse(&given)?,
        tuning: tuning(&given)?,
        hold: words::path_loss_hold(&given)?,
        path_loss_timeout: words::path_loss_timeout(&given)?,
    };
    let options = connect_options(&source, &Hold::None, &secrets, host);
    options.map_err(|error| refusal(&error, &given))?;
    Ok(Parameters {
        source,
        secrets,
        multi_mount: words::multi_mount(&given)?,
    })
}

/// The secrets of NodeStageVolume. No message about one shows its value.
pub(super) fn parse_secrets(secrets: &Map) -> Result<Secrets, InvalidRequest> {
    let mut parsed = Secrets::default();
    for (name, value) in secrets {
        let field = format!("secrets[{name:?}]");
        let slot = match name.as_str() {
            "dhchapSecret" => &mut parsed.dhchap_secret,
            "dhchapCtrlSecret" => &mut parsed.dhchap_ctrl_secret,
            _ => {
                let rule = format!("is not known: {} are", SECRET_NAMES.join(" and "));
                return Err(InvalidRequest::field(field, rule));
            }
        };
        let secret = Secret::from_line(value);
        *slot = Some(secret.map_err(|error| InvalidRequest::field(field, error))?);
    }
    if parsed.dhchap_ctrl_secret.is_some() && parsed.dhchap_secret.is_none() {
        let rule = "is required with dhchapCtrlSecret";
        return Err(InvalidRequest::field("secrets[\"dhchapSecret\"]", rule));
    }
    Ok(parsed)
}

/// Where csi-driver-nvmf makes a volume, which then has endpoints, its name is the NQN.
fn nqn(given: &Given<'_>, volume_id: &VolumeId) -> Result<Nqn, InvalidRequest> {
    let (id, has_endpoints) = (
        volume_id.as_str(),
        given.name(Key::Addresses) == Some("targetTrEndpoint"),
    );
    let from_name = |driver| match driver {
        Driver::Nvmf if has_endpoints || id.starts_with("nqn.") => id.parse().ok(),
        _ => None,
    };
    let named = given.parsed::<Nqn>(Key::Nqn)?;
    let Some(nqn) = named.or_else(|| given.driver.and_then(from_name)) else {
        return Err(InvalidRequest::missing(keys::field("nqn")));
    };
    if nqn.is_discovery() {
        return Err(given.refusal(
            Key::Nqn,
            "is the discovery subsystem, which has no namespaces",
        ));
    }
    Ok(nqn)
}

fn tuning(given: &Given<'_>) -> Result<SourceTuning, InvalidRequest> {
    Ok(SourceTuning {
        options: words::tuning(given)?,
        host_iface: given.value(Key::HostIface).map(str::to_owned),
        host_traddr: given.parsed(Key::HostTraddr)?,
    })
}

/// csi-driver-nvmf connects under the name in `hostNqn` and the identifier in `hostId`. Here every volume is connected
/// under the node's own, by which the controller admits it.
fn check_host(given: &Given<'_>, host: &HostIdentity) -> Result<(), InvalidRequest> {
    let own = |other: bool, key, own: &dyn std::fmt::Display| match other {
        true => Err(given.refusal(key, format!("must be this node's own, {own}"))),
        false => Ok(()),
    };
    let hostnqn = given.value(Key::HostNqn);
    own(
        hostnqn.is_some_and(|it| it != host.hostnqn.as_str()),
        Key::HostNqn,
        &host.hostnqn,
    )?;
    let hostid: Option<Uuid> = given.parsed(Key::HostId)?;
    own(
        hostid.is_some_and(|it| it != host.hostid),
        Key::HostId,
        &host.hostid,
    )
}

/// The first problem that the kernel's rules have with the options, said of the key that the user
/// wrote. What belongs to no key of its own is about an address.
fn refusal(error: &OptionsError, given: &Given<'_>) -> InvalidRequest {
    let mut ways = address::KEYS.into_iter();
    let addresses = ways.find(|key| given.value(*key).is_some());
    let addresses = addresses.unwrap_or(Key::Addresses);
    let Some(problem) = error.problems().first() else {
        return given.refusal(addresses, error);
    };
    let key = problem.option().and_then(|option| given.key_of(option));
    match (key, problem) {
        (Some(key), OptionProblem::Value { rule, .. }) => given.refusal(key, rule),
        (Some(key), OptionProblem::NotAllowed { transport, .. }) => {
            given.refusal(key, format!("is not allowed for transport {transport}"))
        }
        (key, other) => given.refusal(key.unwrap_or(addresses), other),
    }
}

/// Whether volumes of this transport have addresses.
fn is_addressed(transport: &Transport) -> bool {
    *transport != Transport::Loop
}
