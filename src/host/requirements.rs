//! What this machine must offer before volumes can be attached to it: kernel modules, the device
//! that connects, and for a program in a container, two of the host's namespaces.
//!
//! Nothing is loaded or changed here: every finding that is not good says what to do. A check that
//! cannot be made is unknown, neither good nor bad.

mod modules;
mod namespaces;

use std::fmt::Display;
use std::path::Path;

use serde::Serialize;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nothing to do.
    Ok,
    /// Works, but can surprise.
    Warn,
    /// Something will not work.
    Fail,
    /// It could not be looked at.
    Unknown,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What tells this check from every other of the same look: [`Check::name`] in one word, and behind a slash which of
    /// several. It stays what it is from release to release.
    pub key: String,
    /// What was looked at.
    pub name: &'static str,
    /// How it came out.
    pub status: Status,
    /// What was seen.
    pub finding: String,
    /// What to do about it; absent if nothing is.
    pub what_to_do: Option<String>,
}

impl Check {
    /// Nothing to do.
    pub(crate) fn ok(name: &'static str, finding: impl Into<String>) -> Check {
        Check {
            key: name.replace(' ', "-"),
            name,
            status: Status::Ok,
            finding: finding.into(),
            what_to_do: None,
        }
    }

    /// Something to do.
    pub(crate) fn bad(
        name: &'static str,
        status: Status,
        finding: impl Into<String>,
        what_to_do: impl Into<String>,
    ) -> Check {
        Check {
            key: name.replace(' ', "-"),
            name,
            status,
            finding: finding.into(),
            what_to_do: Some(what_to_do.into()),
        }
    }
}

impl Check {
    /// The same of one of several things that are looked at under this name.
    pub(crate) fn about(self, which: impl Display) -> Check {
        let key = format!("{}/{which}", self.key);
        Check { key, ..self }
    }
}

/// Looks at all of it.
#[must_use]
pub fn check(root: &Path) -> Vec<Check> {
    let mut checks = modules::check(root);
    checks.push(check_device(root));
    checks.push(check_network(root));
    checks.push(check_processes(root));
    checks
}

/// Why no device-mapper map can be made that holds I/O, if none can.
#[must_use]
pub fn missing_for_maps(root: &Path) -> Option<&'static str> {
    modules::missing_for_maps(root)
}

/// Whether connections are opened in the network namespace of the host.
#[must_use]
pub fn check_network(root: &Path) -> Check {
    namespaces::check_network(root)
}

/// Whether the processes of the whole host are to be seen.
#[must_use]
pub fn check_processes(root: &Path) -> Check {
    namespaces::check_processes(root)
}

/// The device through which everything is connected. Only looked at, not opened: a read waits for
/// whatever connect is under way (`nvmf_dev_mutex` in fabrics.c).
fn check_device(root: &Path) -> Check {
    const NAME: &str = "device";
    let path = root.join("dev/nvme-fabrics");
    match path.try_exists() {
        Ok(true) => Check::ok(NAME, format!("{} is there", path.display())),
        Ok(false) => Check::bad(
            NAME,
            Status::Fail,
            format!("{} is missing: nothing can be connected", path.display()),
            "load the module nvme-fabrics; in a container, mount the host's /dev",
        ),
        Err(error) => Check::bad(
            NAME,
            Status::Unknown,
            format!("{} cannot be looked at: {error}", path.display()),
            "run as root",
        ),
    }
}
