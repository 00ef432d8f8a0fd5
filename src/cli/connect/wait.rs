//! Waiting for a namespace to become usable.
//!
//! The kernel scans for namespaces after the write to `/dev/nvme-fabrics` has returned, and says so
//! by uevents. It says nothing when an ANA state or the state of a controller changes (no
//! sysfs_notify and no event in drivers/nvme), so the tree is also read once a second.
//!
//! A live controller without the namespace is asked once to look again: a target need not announce
//! what it has exported since.
//!
//! Invariant: the socket is open before the connect and before the first scan, so that no event
//! falls between them.

use std::time::{Duration, Instant};

use nvme_fabrics::Fabrics;
use nvme_sysfs::{
    AmbiguousNamespace, Controller, ControllerState, FindNamespaceError, Instance, Namespace,
    NamespaceSelector, Nqn, Received, ScanError, Subsystem, Sysfs, Tree, Uevent, UeventSocketError,
};
use thiserror::Error;

use crate::cli::exit::chain;
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

/// Takes the next event, or what is there already once the moment given has passed.
pub(super) type Receive<'a> = dyn FnMut(Instant) -> Result<Received, UeventSocketError> + 'a;

/// Returns the tree in which the wanted namespace is usable.
pub(super) fn wait(
    sysfs: &Sysfs,
    fabrics: &Fabrics,
    goal: &Goal,
    stop: &Stop,
    receive: &mut Receive<'_>,
) -> Result<Tree, WaitError> {
    let deadline = Instant::now() + goal.timeout;
    let mut asked = false;
    loop {
        let tree = sysfs.scan()?;
        if goal.is_reached(&tree)? {
            return Ok(tree);
        }
        if !asked && goal.is_missing(&tree)? {
            asked = true;
            ask_for_namespaces(fabrics, goal);
        }
        if Instant::now() >= deadline {
            return Err(goal.timed_out(&tree));
        }
        wait_for_change(receive, deadline.min(Instant::now() + RESCAN), stop)?;
        if stop.is_requested() {
            let controller = goal.controller;
            return Err(WaitError::Interrupted { controller });
        }
    }
}

/// A wait that goes on without it may still end well.
fn ask_for_namespaces(fabrics: &Fabrics, goal: &Goal) {
    let controller = goal.controller;
    if let Err(error) = fabrics.rescan(controller, &goal.nqn) {
        let error = chain(&error);
        tracing::warn!(%controller, error, "cannot ask for namespaces again");
    }
}

/// Returns when something may have changed, or when a signal has come.
fn wait_for_change(
    receive: &mut Receive<'_>,
    until: Instant,
    stop: &Stop,
) -> Result<(), WaitError> {
    loop {
        let received = receive(until);
        if stop.is_requested() {
            return Ok(());
        }
        match received? {
            Received::Uevent(event) if !concerns_nvme(&event) => {}
            Received::TimedOut => return Ok(()),
            Received::Uevent(_) | Received::Overrun => return take_the_rest(receive, until),
        }
    }
}

/// What one scan answers needs no scan for each event. Events that come faster than they are taken
/// do not put the scan off for ever.
fn take_the_rest(receive: &mut Receive<'_>, until: Instant) -> Result<(), WaitError> {
    while receive(Instant::now())? != Received::TimedOut && Instant::now() < until {}
    Ok(())
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
        match tree.find_namespace(&self.nqn, &self.which) {
            Ok(wanted) => Ok(wanted.is_some_and(|namespace| is_usable(tree, namespace))),
            Err(FindNamespaceError::Ambiguous(error)) => Err(error.into()),
            // It may be known at the next look, or another one may come that is meant.
            Err(FindNamespaceError::Unknown(_)) => Ok(false),
        }
    }

    /// Whether the controller is live and the namespace is not there at all.
    fn is_missing(&self, tree: &Tree) -> Result<bool, WaitError> {
        if !self.find_controller(tree)?.is_live() {
            return Ok(false);
        }
        if self.which == NamespaceSelector::Only {
            let found = find_subsystem(tree, &self.nqn, self.controller);
            return Ok(found.is_none_or(|subsystem| subsystem.namespaces.is_empty()));
        }
        Ok(matches!(
            tree.find_namespace(&self.nqn, &self.which),
            Ok(None)
        ))
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
        .map(|namespace| match namespace.doubt() {
            Some(doubt) => format!("{} ({doubt})", namespace.name),
            None => namespace.name.clone(),
        })
        .collect();
    if names.is_empty() {
        "and there is no namespace at all".to_owned()
    } else {
        format!("and the namespaces are {}", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::fs;
    use std::path::Path;

    use tempfile::TempDir;

    use super::*;

    fn root(name: &str) -> TempDir {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/sysfs");
        kernel_lab::tree::unpack(&fixtures.join(name)).expect("a captured tree")
    }

    fn tree(name: &str) -> Tree {
        Sysfs::at(root(name).path()).scan().expect("a scan")
    }

    fn uevent(subsystem: &str) -> Received {
        let text = format!(
            "change@/devices/x\0ACTION=change\0DEVPATH=/devices/x\0SUBSYSTEM={subsystem}\0SEQNUM=7\0"
        );
        Received::Uevent(Uevent::parse(text.as_bytes()).expect("an event"))
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

    #[test]
    fn an_event_has_the_tree_read_again_before_the_time_for_it_comes() {
        let root = root("trixie-connecting.tree");
        let state = root.path().join("sys/class/nvme/nvme0/state");
        let mut goal = goal("nqn.2026-01.org.example:volume-1");
        goal.timeout = Duration::from_secs(3600);
        let mut said = VecDeque::from([uevent("block"), Received::TimedOut]);
        let mut receive = |_| {
            fs::write(&state, "live\n").expect("a file");
            Ok(said.pop_front().expect("no second wait"))
        };
        let (sysfs, fabrics) = (Sysfs::at(root.path()), Fabrics::at(root.path()));
        wait(&sysfs, &fabrics, &goal, &Stop::default(), &mut receive).expect("usable");
    }

    #[test]
    fn events_that_wait_together_are_taken_together_and_others_do_not_count() {
        let until = Instant::now() + Duration::from_secs(3600);
        let mut said = VecDeque::from([
            (uevent("net"), true),
            (uevent("nvme"), true),
            (uevent("block"), false),
            (Received::Overrun, false),
            (Received::TimedOut, false),
        ]);
        let mut receive = |deadline| {
            let (received, waits) = said.pop_front().expect("no more was asked for");
            assert_eq!(deadline == until, waits, "{received:?}");
            Ok(received)
        };
        wait_for_change(&mut receive, until, &Stop::default()).expect("no error");
        assert!(said.is_empty(), "{said:?}");
    }
}
