//! Controllers that are there already: the one a connect asks for, and those that forbid it.

use nvme_sysfs::{Controller, ControllerState, Tree};

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
    tree: &'a Tree,
    options: &ConnectOptions,
    candidates: Candidates,
) -> Option<&'a Controller> {
    tree.controllers().find(|controller| {
        let subsystem = match &controller.subsysnqn {
            Some(nqn) => nqn == options.nqn(),
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
    tree: &Tree,
    options: &ConnectOptions,
) -> Result<(), ConnectError> {
    let (Some(hostnqn), Some(hostid)) = (options.hostnqn(), options.hostid()) else {
        return Ok(());
    };
    for controller in tree.controllers() {
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
