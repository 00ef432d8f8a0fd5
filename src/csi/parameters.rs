//! The StorageClass's parameters, which arrive as the volume context, and the node's secrets.
//!
//! | key | meaning |
//! |---|---|
//! | `nqn` | subsystem, required |
//! | `addresses` | `IP[:port]`, separated by commas, IPv6 in brackets; all are connected |
//! | `transport` | `tcp` (default), `rdma`, `loop` |
//! | `namespaceUUID`, `nsid` | which namespace; default: the only one |
//! | `hostIface`, `hostTraddr` | where to connect from |
//! | `ctrlLossTmo` and the other names of [`TUNING`](nvme_fabrics::TUNING) | the kernel's options |
//! | `pathLossHold`, `pathLossTimeout` | what happens to I/O while no path exists |
//! | `multiMountProtection` | whether ext4 refuses a second mount |
//!
//! Names that other drivers use for the same are in [`keys`]. Invariant: a [`Source`] that comes out
//! of here makes connect options that the kernel's parser takes, and no value smuggles in another
//! option. Every value has a bound, for whoever writes a PersistentVolume may write anything.

mod address;
mod keys;
mod words;

use std::collections::BTreeMap;

use nvme_fabrics::{HostIdentity, OptionProblem, OptionsError};
use nvme_sysfs::{NamespaceSelector, Nqn, Transport};

use super::invalid::InvalidRequest;
use crate::volume::request::{
    AccessType, FilesystemType, MultiMount, Secrets, Source, SourceTuning,
};
use crate::volume::{Hold, connect_options};
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
    context: &Map,
    secrets: &Map,
    host: &HostIdentity,
) -> Result<Parameters, InvalidRequest> {
    let given = Given::collect(context)?;
    check_host(&given, &host.hostnqn)?;
    let secrets = parse_secrets(secrets)?;
    let transport = words::transport(&given)?;
    let source = Source {
        nqn: nqn(&given)?,
        addresses: address::parse(&given, &transport)?,
        transport,
        which: which(&given)?,
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
        let secret = value.parse();
        *slot = Some(secret.map_err(|error| InvalidRequest::field(field, error))?);
    }
    if parsed.dhchap_ctrl_secret.is_some() && parsed.dhchap_secret.is_none() {
        let rule = "is required with dhchapCtrlSecret";
        return Err(InvalidRequest::field("secrets[\"dhchapSecret\"]", rule));
    }
    Ok(parsed)
}

fn nqn(given: &Given<'_>) -> Result<Nqn, InvalidRequest> {
    let Some(nqn) = given.parsed::<Nqn>(Key::Nqn)? else {
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

fn which(given: &Given<'_>) -> Result<NamespaceSelector, InvalidRequest> {
    let uuid = given.parsed(Key::NamespaceUuid)?;
    let nsid = given.parsed(Key::Nsid)?;
    match (uuid, nsid) {
        (None, None) => Ok(NamespaceSelector::Only),
        (Some(uuid), None) => Ok(NamespaceSelector::Uuid(uuid)),
        (None, Some(nsid)) => Ok(NamespaceSelector::Nsid(nsid)),
        (Some(_), Some(_)) => {
            Err(given.refusal(Key::Nsid, "cannot be given together with the UUID"))
        }
    }
}

fn tuning(given: &Given<'_>) -> Result<SourceTuning, InvalidRequest> {
    Ok(SourceTuning {
        options: words::tuning(given)?,
        host_iface: given.value(Key::HostIface).map(str::to_owned),
        host_traddr: given.parsed(Key::HostTraddr)?,
    })
}

/// csi-driver-nvmf connects under the name in `hostNqn`. Here every volume is connected under the
/// node's own, by which the controller admits it.
fn check_host(given: &Given<'_>, host: &Nqn) -> Result<(), InvalidRequest> {
    match given.value(Key::HostNqn) {
        Some(other) if other != host.as_str() => {
            let rule = format!("must be this node's own, {host}");
            Err(given.refusal(Key::HostNqn, rule))
        }
        _ => Ok(()),
    }
}

/// The first problem that the kernel's rules have with the options, said of the key that the user
/// wrote. What belongs to no key of its own is about an address.
fn refusal(error: &OptionsError, given: &Given<'_>) -> InvalidRequest {
    let addresses = match given.value(Key::Address) {
        Some(_) => Key::Address,
        None => Key::Addresses,
    };
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
