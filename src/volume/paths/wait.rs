//! Waiting until the namespace of a source is usable.
//!
//! The kernel scans for namespaces after a connect has returned, and shows a disk before its node
//! exists. A live controller that shows nothing is told to look again: a namespace that the target
//! made a moment ago may have been missed.

use std::error::Error;
use std::path::Path;
use std::thread::park_timeout;
use std::time::{Duration, Instant};

use nvme_sysfs::{FindNamespaceError, Namespace, NamespaceSelector, Nqn, ScanError, Tree};

use super::Paths;
use super::attach::{AttachError, Attached};
use crate::volume::identity::Disk;
use crate::volume::source::Source;
use crate::volume::standing::carrier::{is_reached, live_controllers};
use crate::watch::Snapshot;

/// How soon it is looked again where something was unknown.
const AGAIN: Duration = Duration::from_millis(250);

impl Paths {
    pub(super) fn wait_for_namespace(&self, source: &Source) -> Result<Attached, AttachError> {
        let started = Instant::now();
        let deadline = started + self.ground.config.timing.namespace;
        let mut rescan_at = started + self.ground.config.timing.rescan;
        let mut snapshot = self.scan_until(deadline)?;
        loop {
            let found = find_ready(&self.ground.config.root, &snapshot, source);
            let now = Instant::now();
            match found {
                Ok(Some(attached)) => return Ok(attached),
                Ok(None) if now >= deadline => {
                    return Err(not_ready(&snapshot, source, started));
                }
                Err(FindNamespaceError::Ambiguous(error)) => return Err(error.into()),
                Err(FindNamespaceError::Unknown(error)) if now >= deadline => {
                    return Err(error.into());
                }
                // What is unknown may not be the one that is meant.
                Ok(None) | Err(FindNamespaceError::Unknown(_)) => {}
            }
            if now >= rescan_at {
                self.rescan(&snapshot, &source.nqn);
                rescan_at = now + self.ground.config.timing.rescan;
            }
            let until = deadline.min(rescan_at);
            snapshot = match self.ground.next_snapshot(&snapshot, until) {
                Err(ScanError::Unknown(_)) => self.scan_until(deadline)?,
                newer => newer?,
            };
        }
    }

    /// A tree in which everything is known. What is unknown beside a new namespace may be so for a moment only.
    fn scan_until(&self, deadline: Instant) -> Result<Snapshot, ScanError> {
        loop {
            match self.ground.config.trees.scan() {
                Err(ScanError::Unknown(_)) if Instant::now() < deadline => park_timeout(AGAIN),
                scanned => return scanned,
            }
        }
    }

    /// Tells every live controller to look for namespaces and their sizes.
    pub(in crate::volume) fn rescan(&self, tree: &Tree, nqn: &Nqn) {
        for controller in live_controllers(tree, nqn) {
            if let Err(error) = self.ground.host().rescan(controller, nqn) {
                let error: &(dyn Error + 'static) = &error;
                tracing::warn!(%controller, %nqn, error, "cannot rescan a controller");
            }
        }
    }
}

/// The namespace if it can be used now: reached by a live controller, with a number, a size and a
/// node.
fn find_ready(
    root: &Path,
    tree: &Tree,
    source: &Source,
) -> Result<Option<Attached>, FindNamespaceError> {
    let found = tree.find_namespace(&source.nqn, &source.which)?;
    let ready =
        found.filter(|namespace| namespace.is_set_up() && is_reached(tree, &source.nqn, namespace));
    Ok(ready.and_then(|namespace| {
        let disk = Disk::of(namespace)?;
        has_node(root, &disk).then(|| Attached {
            namespace: namespace.clone(),
            disk,
        })
    }))
}

/// Whether devtmpfs has made the node.
fn has_node(root: &Path, disk: &Disk) -> bool {
    rustix::fs::lstat(root.join("dev").join(&disk.name)).is_ok()
}

fn not_ready(tree: &Tree, source: &Source, started: Instant) -> AttachError {
    AttachError::NotReady {
        nqn: source.nqn.clone(),
        wanted: describe(&source.which),
        waited: started.elapsed(),
        seen: describe_tree(tree, source),
    }
}

fn describe(which: &NamespaceSelector) -> String {
    match which {
        NamespaceSelector::Only => "namespace".to_owned(),
        NamespaceSelector::Nsid(id) => format!("namespace with nsid {id}"),
        NamespaceSelector::Uuid(id) => format!("namespace with uuid {id}"),
        NamespaceSelector::Nguid(id) => format!("namespace with nguid {id}"),
        NamespaceSelector::Eui64(id) => format!("namespace with eui64 {id}"),
    }
}

/// Controllers and namespaces of the subsystem, in words.
fn describe_tree(tree: &Tree, source: &Source) -> String {
    let subsystems: Vec<_> = tree.find_subsystems(&source.nqn).collect();
    let controllers = subsystems
        .iter()
        .flat_map(|subsystem| &subsystem.controllers);
    let controllers: Vec<String> = controllers
        .map(|controller| format!("{} is {}", controller.instance, controller.state))
        .collect();
    let namespaces = subsystems
        .iter()
        .flat_map(|subsystem| &subsystem.namespaces);
    let namespace = |disk: &Namespace| format!("{} has {}", disk.name, disk.identity);
    let namespaces: Vec<String> = namespaces.map(namespace).collect();
    match (controllers.is_empty(), namespaces.is_empty()) {
        (true, _) => "it has no controller".to_owned(),
        (false, true) => format!("{}, without namespaces", controllers.join(", ")),
        (false, false) => format!("{}; {}", controllers.join(", "), namespaces.join(", ")),
    }
}
