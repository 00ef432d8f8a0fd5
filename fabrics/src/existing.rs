//! Controllers that are there already: the one a connect asks for, and those that forbid it.

use nvme_sysfs::{Controller, ControllerState};

use crate::error::ConnectError;
use crate::options::ConnectOptions;

/// Which controllers may be the one that is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Candidates {
    /// Those that say which subsystem they belong to.
    Identified,
    /// Also those that do not know yet: their first connect is still under way.
    All,
}

/// Finds the controller that a connect with `options` would duplicate.
///
/// The kernel compares strings (`nvmf_ip_options_match`); this compares addresses by value, so
/// it also finds a controller that somebody else connected with another spelling. A controller
/// that is being deleted, or dead, never matches, as in the kernel.
pub(crate) fn find_existing<'a>(
    controllers: &'a [Controller],
    options: &ConnectOptions,
    candidates: Candidates,
) -> Option<&'a Controller> {
    controllers.iter().find(|controller| {
        let subsystem = match &controller.subsysnqn_text {
            Some(text) => text == options.nqn().as_str(),
            None => candidates == Candidates::All,
        };
        subsystem
            && is_usable(&controller.state)
            && controller.transport == *options.transport()
            && controller.address.same_endpoint(options.address())
            && is_same_host(controller, options)
    })
}

fn is_usable(state: &ControllerState) -> bool {
    !matches!(
        state,
        ControllerState::Deleting | ControllerState::DeletingNoIo | ControllerState::Dead
    )
}

/// Whether nothing that is known says that the controller belongs to another host identity.
/// Kernels before 5.7 do not show it.
fn is_same_host(controller: &Controller, options: &ConnectOptions) -> bool {
    let nqn = match (&controller.hostnqn, options.hostnqn()) {
        (Some(theirs), Some(ours)) => theirs == ours,
        _ => true,
    };
    let id = match (&controller.hostid, options.hostid()) {
        (Some(theirs), Some(ours)) => theirs == ours,
        _ => true,
    };
    nqn && id
}

/// Refuses a host identity of which another controller uses one half with another other half.
///
/// Since 6.5 the kernel answers that with a bare `EINVAL`; before, it silently rewrote the
/// hostid of the live controllers.
pub(crate) fn check_host_identity(
    controllers: &[Controller],
    options: &ConnectOptions,
) -> Result<(), ConnectError> {
    let (Some(hostnqn), Some(hostid)) = (options.hostnqn(), options.hostid()) else {
        return Ok(());
    };
    for controller in controllers {
        let (Some(other_hostnqn), Some(other_hostid)) = (&controller.hostnqn, &controller.hostid)
        else {
            continue;
        };
        if (other_hostnqn == hostnqn) != (other_hostid == hostid) {
            return Err(ConnectError::HostIdConflict {
                hostnqn: hostnqn.clone(),
                hostid: *hostid,
                controller: controller.instance,
                other_hostnqn: other_hostnqn.clone(),
                other_hostid: *other_hostid,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nvme_sysfs::{Instance, Sysfs, Transport};
    use tempfile::TempDir;

    use super::*;
    use crate::fixture::{self, HOSTID, attribute, host};
    use crate::options::ConnectOptionsBuilder;

    fn scan(root: &TempDir) -> Vec<Controller> {
        Sysfs::at(root.path())
            .scan_controllers()
            .expect("a captured tree")
    }

    /// The address of nvme0 in the captured trees.
    fn connected() -> ConnectOptionsBuilder {
        let mut builder = fixture::options(Transport::Tcp);
        builder.traddr("10.0.0.2").trsvcid("4420");
        builder
    }

    fn found(root: &TempDir, builder: &ConnectOptionsBuilder) -> Option<Instance> {
        let options = builder.build().expect("valid options");
        find_existing(&scan(root), &options, Candidates::Identified)
            .map(|controller| controller.instance)
    }

    #[test]
    fn each_path_of_a_subsystem_is_found_by_its_own_address() {
        let root = host("trixie-two-paths-ana");
        assert_eq!(found(&root, &connected()), Some(Instance(0)));
        assert_eq!(found(&root, connected().trsvcid("4421")), Some(Instance(1)));
        assert_eq!(found(&root, connected().trsvcid("4422")), None);
        assert_eq!(found(&root, connected().traddr("10.0.0.3")), None);
        assert_eq!(found(&root, connected().host_traddr("10.0.0.1")), None);
    }

    #[test]
    fn a_connecting_controller_is_found_and_one_being_deleted_is_not() {
        let root = host("trixie-connecting");
        assert_eq!(found(&root, &connected()), Some(Instance(0)));
        for state in ["deleting", "deleting (no IO)", "dead"] {
            fs::write(attribute(&root, "nvme0", "state"), state).expect("a file");
            assert_eq!(found(&root, &connected()), None, "{state}");
        }
        for state in ["new", "resetting", "live"] {
            fs::write(attribute(&root, "nvme0", "state"), state).expect("a file");
            assert_eq!(found(&root, &connected()), Some(Instance(0)), "{state}");
        }
    }

    #[test]
    fn another_spelling_of_the_address_is_the_same_controller() {
        let root = host("trixie-one-path");
        let address = "traddr=0:0:0:0:0:0:0:1,trsvcid=4420\n";
        fs::write(attribute(&root, "nvme0", "address"), address).expect("a file");
        assert_eq!(found(&root, connected().traddr("::1")), Some(Instance(0)));
    }

    #[test]
    fn another_subsystem_transport_or_host_is_another_controller() {
        let root = host("trixie-one-path");
        let mut other = ConnectOptions::builder(
            Transport::Tcp,
            "nqn.2026-01.org.example:volume-11".parse().expect("a name"),
        );
        assert_eq!(found(&root, other.traddr("10.0.0.2")), None);
        let mut rdma = fixture::options(Transport::Rdma);
        assert_eq!(found(&root, rdma.traddr("10.0.0.2")), None);
        let mut host = connected();
        host.hostid(
            "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"
                .parse()
                .expect("a UUID"),
        );
        assert_eq!(found(&root, &host), None);
    }

    #[test]
    fn a_controller_that_does_not_know_its_subsystem_yet_counts_only_after_ealready() {
        let root = host("trixie-connecting");
        fs::write(attribute(&root, "nvme0", "subsysnqn"), "(efault)\n").expect("a file");
        let options = connected().build().expect("valid options");
        let tree = scan(&root);
        assert!(find_existing(&tree, &options, Candidates::Identified).is_none());
        assert!(find_existing(&tree, &options, Candidates::All).is_some());
    }

    #[test]
    fn a_subsystem_whose_name_is_no_nqn_is_another_one() {
        let root = host("trixie-one-path");
        fs::write(attribute(&root, "nvme0", "subsysnqn"), "nqn.odd/name\n").expect("a file");
        let options = connected().build().expect("valid options");
        assert!(find_existing(&scan(&root), &options, Candidates::All).is_none());
    }

    #[test]
    fn half_a_host_identity_in_use_is_a_conflict_that_names_both() {
        let root = host("trixie-one-path");
        let check = |builder: &ConnectOptionsBuilder| {
            let options = builder.build().expect("valid options");
            check_host_identity(&scan(&root), &options)
        };
        check(&connected()).expect("the same pair");
        let mut other_id = connected();
        other_id.hostid(
            "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"
                .parse()
                .expect("a UUID"),
        );
        let text = check(&other_id).expect_err("another hostid").to_string();
        assert!(text.contains("bbbbbbbb-bbbb"), "{text}");
        assert!(
            text.contains(&format!("nvme0 uses hostnqn {}", fixture::HOSTNQN)),
            "{text}"
        );
        assert!(text.ends_with(&format!("with hostid {HOSTID}")), "{text}");
        let mut other_nqn = connected();
        other_nqn.hostnqn("nqn.2026-01.org.example:host".parse().expect("a name"));
        check(&other_nqn).expect_err("another hostnqn");
        let mut both = other_nqn;
        both.hostid(
            "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"
                .parse()
                .expect("a UUID"),
        );
        check(&both).expect("another host altogether");
    }
}
