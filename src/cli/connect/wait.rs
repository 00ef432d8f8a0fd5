//! Waiting for a namespace to become usable.
//!
//! The kernel scans for namespaces after the write to `/dev/nvme-fabrics` has returned, and says so
//! by uevents. It says nothing when an ANA state or the state of a controller changes (no
//! sysfs_notify and no event in drivers/nvme), so the tree is also read once a second.
//!
//! Invariant: the socket is open before the connect and before the first scan, so that no event
//! falls between them.

use std::time::{Duration, Instant};

use nvme_sysfs::{
    AmbiguousNamespace, Controller, ControllerState, Instance, Namespace, NamespaceSelector, Nqn,
    Received, ScanError, Subsystem, Sysfs, Tree, Uevent, UeventSocket, UeventSocketError,
};
use thiserror::Error;

use crate::cli::interrupt::Stop;
use crate::cli::resolve::describe;

/// How often the tree is read although nothing was heard.
const RESCAN: Duration = Duration::from_secs(1);

/// What is waited for.
#[derive(Debug)]
pub(super) struct Goal {
    pub(super) nqn: Nqn,
    pub(super) controller: Instance,
    pub(super) which: NamespaceSelector,
    pub(super) timeout: Duration,
}

/// Why no usable namespace came.
#[derive(Debug, Error)]
pub enum WaitError {
    /// Not within the time given.
    #[error(
        "after {} s subsystem {nqn} has no usable {wanted}: {controller} is {state}, {seen}",
        timeout.as_secs()
    )]
    TimedOut {
        /// The time given.
        timeout: Duration,
        /// The subsystem.
        nqn: Nqn,
        /// Which namespace was wanted.
        wanted: String,
        /// The controller that was connected.
        controller: Instance,
        /// Its last state.
        state: ControllerState,
        /// What there is instead.
        seen: String,
    },
    /// The controller has gone.
    #[error("{controller} of subsystem {nqn} has disappeared again")]
    Gone {
        /// The controller that was connected.
        controller: Instance,
        /// Its subsystem.
        nqn: Nqn,
    },
    /// More than one namespace has the wanted identity.
    #[error(transparent)]
    Ambiguous(#[from] AmbiguousNamespace),
    /// Events cannot be received.
    #[error("cannot wait for the kernel's events")]
    Events(#[from] UeventSocketError),
    /// sysfs cannot be read.
    #[error("cannot read the NVMe devices")]
    Scan(#[from] ScanError),
    /// A signal came.
    #[error("the wait for {controller} was interrupted")]
    Interrupted {
        /// The controller that was connected.
        controller: Instance,
    },
}

/// Returns the tree in which the wanted namespace is usable.
pub(super) fn wait(
    sysfs: &Sysfs,
    events: &UeventSocket,
    goal: &Goal,
    stop: &Stop,
) -> Result<Tree, WaitError> {
    let deadline = Instant::now() + goal.timeout;
    loop {
        let tree = sysfs.scan()?;
        if goal.is_reached(&tree)? {
            return Ok(tree);
        }
        if Instant::now() >= deadline {
            return Err(goal.timed_out(&tree));
        }
        wait_for_change(events, deadline.min(Instant::now() + RESCAN), stop)?;
        if stop.is_requested() {
            let controller = goal.controller;
            return Err(WaitError::Interrupted { controller });
        }
    }
}

/// Returns when something may have changed, or when a signal has come.
fn wait_for_change(events: &UeventSocket, until: Instant, stop: &Stop) -> Result<(), WaitError> {
    loop {
        let received = events.receive(Some(until));
        if stop.is_requested() {
            return Ok(());
        }
        match received? {
            Received::Uevent(event) if !concerns_nvme(&event) => {}
            Received::Uevent(_) | Received::Overrun | Received::TimedOut => return Ok(()),
        }
    }
}

fn concerns_nvme(event: &Uevent) -> bool {
    matches!(
        event.subsystem.as_deref(),
        Some("block" | "nvme" | "nvme-subsystem")
    )
}

impl Goal {
    fn is_reached(&self, tree: &Tree) -> Result<bool, WaitError> {
        self.find_controller(tree)?;
        if self.which == NamespaceSelector::Only {
            return Ok(!usable_namespaces(tree, &self.nqn, self.controller).is_empty());
        }
        let wanted = tree.find_namespace(&self.nqn, &self.which)?;
        Ok(wanted.is_some_and(|namespace| is_usable(tree, namespace)))
    }

    fn find_controller<'a>(&self, tree: &'a Tree) -> Result<&'a Controller, WaitError> {
        find_controller(tree, &self.nqn, self.controller).ok_or_else(|| WaitError::Gone {
            controller: self.controller,
            nqn: self.nqn.clone(),
        })
    }

    fn timed_out(&self, tree: &Tree) -> WaitError {
        let controller = match self.find_controller(tree) {
            Ok(controller) => controller,
            Err(gone) => return gone,
        };
        WaitError::TimedOut {
            timeout: self.timeout,
            nqn: self.nqn.clone(),
            wanted: describe(&self.which),
            controller: self.controller,
            state: controller.state.clone(),
            seen: describe_namespaces(tree, &self.nqn, self.controller),
        }
    }
}

/// The controller, unless its number has passed to one of another subsystem by now. One that is still identifying itself
/// does not say what it belongs to.
pub(super) fn find_controller<'a>(
    tree: &'a Tree,
    nqn: &Nqn,
    controller: Instance,
) -> Option<&'a Controller> {
    tree.find_controller(controller)
        .filter(|found| match &found.subsysnqn_text {
            Some(text) => text == nqn.as_str(),
            None => true,
        })
}

/// The namespaces of the controller's subsystem that I/O can reach, through whichever controller.
pub(super) fn usable_namespaces<'a>(
    tree: &'a Tree,
    nqn: &Nqn,
    controller: Instance,
) -> Vec<&'a Namespace> {
    let subsystem = find_subsystem(tree, nqn, controller);
    subsystem
        .into_iter()
        .flat_map(|subsystem| {
            subsystem
                .namespaces
                .iter()
                .filter(|namespace| subsystem.is_reachable(namespace))
        })
        .collect()
}

fn is_usable(tree: &Tree, namespace: &Namespace) -> bool {
    tree.subsystems.iter().any(|subsystem| {
        subsystem.namespaces.contains(namespace) && subsystem.is_reachable(namespace)
    })
}

fn find_subsystem<'a>(tree: &'a Tree, nqn: &Nqn, controller: Instance) -> Option<&'a Subsystem> {
    tree.find_subsystems(nqn).find(|subsystem| {
        subsystem
            .controllers
            .iter()
            .any(|found| found.instance == controller)
    })
}

fn describe_namespaces(tree: &Tree, nqn: &Nqn, controller: Instance) -> String {
    let names: Vec<_> = find_subsystem(tree, nqn, controller)
        .into_iter()
        .flat_map(|subsystem| &subsystem.namespaces)
        .map(|namespace| namespace.name.as_str())
        .collect();
    if names.is_empty() {
        "and there is no namespace at all".to_owned()
    } else {
        format!("and the namespaces are {}", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn tree(name: &str) -> Tree {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/sysfs");
        let root = kernel_lab::tree::unpack(&fixtures.join(name)).expect("a captured tree");
        Sysfs::at(root.path()).scan().expect("a scan")
    }

    fn goal(nqn: &str) -> Goal {
        Goal {
            nqn: nqn.parse().expect("a name"),
            controller: Instance(0),
            which: NamespaceSelector::Only,
            timeout: Duration::ZERO,
        }
    }

    #[test]
    fn a_usable_namespace_of_the_controllers_subsystem_is_the_goal() {
        let goal = goal("nqn.2026-01.org.example:volume-1");
        assert!(
            goal.is_reached(&tree("trixie-one-path.tree"))
                .expect("there")
        );
        let connecting = tree("trixie-connecting.tree");
        assert!(!goal.is_reached(&connecting).expect("there"));
        assert!(!goal.is_reached(&tree("trixie-orphan.tree")).expect("there"));
    }

    #[test]
    fn a_number_that_passed_to_another_subsystem_is_a_controller_that_is_gone() {
        let tree = tree("trixie-one-path.tree");
        let goal = goal("nqn.2026-01.org.example:volume-11");
        let error = goal.is_reached(&tree).expect_err("another's");
        assert!(matches!(error, WaitError::Gone { .. }), "{error}");
        assert!(usable_namespaces(&tree, &goal.nqn, goal.controller).is_empty());
    }
}
