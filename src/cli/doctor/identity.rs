//! Who this host is to a target, and whether that can go wrong.
//!
//! Since 6.5 the kernel insists that a hostnqn and a hostid belong to each other one to one;
//! machines copied from one image share both, and a target then takes them for one host.

use std::path::Path;

use nvme_fabrics::{HostIdentity, IdentityError, IdentitySource, LoadedIdentity, machine_uuid};
use nvme_sysfs::{Controller, Nqn, Tree, Uuid};

use super::{Check, Status};
use crate::cli::exit::chain;

const NAME: &str = "host identity";

/// Where the identity comes from, and whether it fits this machine and its controllers.
pub(super) fn check(root: &Path, tree: &Tree) -> Check {
    let loaded = match HostIdentity::load(root) {
        Ok(loaded) => loaded,
        Err(error @ IdentityError::NotFound { .. }) => {
            return Check::bad(
                NAME,
                Status::Warn,
                chain(&error),
                "nothing: the first connect makes one and keeps it in /etc/nvme; make sure that \
                    directory survives a reboot",
            );
        }
        Err(error) => {
            return Check::bad(
                NAME,
                Status::Fail,
                chain(&error),
                "correct the file, or remove it to have one made",
            );
        }
    };
    if let Some(conflict) = tree
        .controllers()
        .find_map(|controller| conflict(&loaded.identity, controller))
    {
        return Check::bad(
            NAME,
            Status::Fail,
            conflict,
            "disconnect what was connected under the other identity, or put that identity into \
                /etc/nvme/hostnqn and /etc/nvme/hostid",
        );
    }
    judge(&loaded, machine_uuid(root).map(|(uuid, _)| uuid))
}

fn judge(loaded: &LoadedIdentity, machine: Option<Uuid>) -> Check {
    let LoadedIdentity { identity, source } = loaded;
    let HostIdentity { hostnqn, hostid } = identity;
    let origin = match source {
        IdentitySource::Configured => "configured in /etc/nvme",
        IdentitySource::ProductUuid | IdentitySource::DmiEntry => {
            "made from the machine's UUID in its firmware"
        }
        IdentitySource::DeviceTree => "made from the partition's UUID in the device tree",
        IdentitySource::Generated => "generated",
    };
    let finding = format!("{hostnqn} with hostid {hostid}, {origin}");
    match machine {
        Some(machine)
            if *source == IdentitySource::Configured
                && is_of_another(hostnqn, *hostid, machine) =>
        {
            Check::bad(
                NAME,
                Status::Warn,
                format!("{finding}; this machine's own UUID is {machine}"),
                "if this machine was copied from another one, remove /etc/nvme/hostnqn and \
                    /etc/nvme/hostid while nothing is connected",
            )
        }
        _ => Check::ok(NAME, finding),
    }
}

/// Whether an identity made from a UUID was made from another machine's, or at random. A name that
/// was given by hand says nothing.
fn is_of_another(hostnqn: &Nqn, hostid: Uuid, machine: Uuid) -> bool {
    hostnqn.as_str().ends_with(&hostid.to_string()) && hostid != machine
}

fn conflict(own: &HostIdentity, controller: &Controller) -> Option<String> {
    let (hostnqn, hostid) = (controller.hostnqn.as_ref()?, controller.hostid?);
    let same_nqn = *hostnqn == own.hostnqn;
    let same_id = hostid == own.hostid;
    (same_nqn != same_id).then(|| {
        let HostIdentity {
            hostnqn: own_nqn,
            hostid: own_id,
        } = own;
        let instance = controller.instance;
        format!(
            "{instance} is connected as {hostnqn} with hostid {hostid}, but this host is \
            {own_nqn} with hostid {own_id}: the kernel refuses to mix them"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: &str = "11111111-2222-3333-4444-555555555555";
    const OTHER: &str = "99999999-2222-3333-4444-555555555555";

    fn uuid(text: &str) -> Uuid {
        text.parse().expect("a UUID")
    }

    fn configured(identity: HostIdentity) -> LoadedIdentity {
        LoadedIdentity {
            identity,
            source: IdentitySource::Configured,
        }
    }

    #[test]
    fn an_identity_made_from_this_machine_is_good() {
        let loaded = configured(HostIdentity::from_uuid(uuid(MACHINE)));
        assert_eq!(judge(&loaded, Some(uuid(MACHINE))).status, Status::Ok);
        assert_eq!(judge(&loaded, None).status, Status::Ok);
    }

    #[test]
    fn an_identity_made_from_another_uuid_may_be_a_copy() {
        let loaded = configured(HostIdentity::from_uuid(uuid(OTHER)));
        let check = judge(&loaded, Some(uuid(MACHINE)));
        assert_eq!(check.status, Status::Warn);
        assert!(check.finding.contains(MACHINE), "{}", check.finding);
    }

    #[test]
    fn a_name_given_by_hand_is_no_sign_of_a_copy() {
        let hostnqn = "nqn.2024-01.io.example:host7".parse().expect("an NQN");
        let loaded = configured(HostIdentity {
            hostnqn,
            hostid: uuid(OTHER),
        });
        assert_eq!(judge(&loaded, Some(uuid(MACHINE))).status, Status::Ok);
    }
}
