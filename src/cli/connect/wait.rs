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
            return Ok(!usable_namespaces(tree, self.controller).is_empty());
        }
        let wanted = tree.find_namespace(&self.nqn, &self.which)?;
        Ok(wanted.is_some_and(|namespace| is_usable(tree, namespace)))
    }

    fn find_controller<'a>(&self, tree: &'a Tree) -> Result<&'a Controller, WaitError> {
        tree.find_controller(self.controller)
            .ok_or_else(|| WaitError::Gone {
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
            seen: describe_namespaces(tree, self.controller),
        }
    }
}

/// The namespaces of the controller's subsystem that I/O can reach, through whichever controller.
pub(super) fn usable_namespaces(tree: &Tree, controller: Instance) -> Vec<&Namespace> {
    let subsystem = find_subsystem(tree, controller);
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

fn find_subsystem(tree: &Tree, controller: Instance) -> Option<&Subsystem> {
    tree.subsystems.iter().find(|subsystem| {
        subsystem
            .controllers
            .iter()
            .any(|found| found.instance == controller)
    })
}

fn describe_namespaces(tree: &Tree, controller: Instance) -> String {
    let names: Vec<_> = find_subsystem(tree, controller)
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
