//! Deletes a controller and comes back when it is gone.
//!
//! `delete_controller` is written through the held directory of the controller whose subsystem
//! was verified there, so that a number that was reused meanwhile is never hit. The write blocks
//! until the kernel has flushed and shut the controller down, tens of seconds if the target is
//! gone: a caller with a deadline of its own gives it a thread.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nvme_sysfs::{Instance, Nqn, Transport, TransportAddress, UeventSocket, UeventSocketError};
use rustix::io::Errno;

use crate::exclusions::{Candidate, ExclusionsError};
use crate::fabrics::Fabrics;
use crate::held::{HeldController, Subsystem};

/// Longest wait for a uevent before looking again: not every network namespace gets uevents.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How a disconnect ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disconnected {
    /// The controller was deleted.
    Deleted,
    /// There was no such controller.
    AlreadyGone,
}

/// Why a controller was not disconnected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DisconnectError {
    /// A PCIe controller: this crate never touches one.
    #[error("{controller} is a PCIe controller and is never disconnected")]
    Pcie {
        /// Which.
        controller: Instance,
    },
    /// The administrator wants it left alone.
    #[error("{controller} is excluded by {entry:?} in {}", path.display())]
    Excluded {
        /// Which.
        controller: Instance,
        /// The matching entry.
        entry: String,
        /// Its file.
        path: PathBuf,
    },
    /// The number belongs to another subsystem now.
    #[error("{controller} belongs to {found}, not to {expected}")]
    OtherSubsystem {
        /// Which.
        controller: Instance,
        /// What it belongs to, as the kernel prints it.
        found: String,
        /// What it was expected to belong to.
        expected: Nqn,
    },
    /// It does not say which subsystem it belongs to and did not come to within the deadline:
    /// its first connect never succeeded, and the kernel deletes only what was live once.
    #[error(
        "{controller} was never live, which the kernel refuses to delete; it goes when its connect ends"
    )]
    NeverLive {
        /// Which.
        controller: Instance,
    },
    /// It still exists at the deadline.
    #[error("{controller} is still there after {waited:?}")]
    StillThere {
        /// Which.
        controller: Instance,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The exclusions could not be read.
    #[error("cannot tell whether the controller is excluded")]
    Exclusions(#[from] ExclusionsError),
    /// Removals cannot be waited for.
    #[error("cannot wait for the removal of a controller")]
    Uevents(#[from] UeventSocketError),
    /// An attribute could not be read or written.
    #[error("cannot access {}", path.display())]
    Attribute {
        /// The attribute or directory.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
}

/// Which controller may be deleted through a held directory.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expected<'a> {
    /// One of this subsystem.
    Subsystem(&'a Nqn),
    /// The held one: this very process has just made it.
    Held,
}

/// What an attempt to delete came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    /// The controller does not exist any more.
    Gone,
    /// The kernel took the order.
    Accepted,
    /// Somebody else's order was taken before.
    Elsewhere,
    /// Never live so far.
    TooEarly,
}

impl Fabrics {
    /// Deletes `nvmeN` if it still belongs to `expected_nqn`, and returns when it is gone.
    ///
    /// A controller that was never live cannot be deleted (`EBUSY`): it is tried again until it
    /// is live, gone, or `deadline` has passed. The write itself may block beyond the deadline.
    ///
    /// # Errors
    /// PCIe and excluded controllers are refused; the rest see [`DisconnectError`].
    pub fn disconnect(
        &self,
        controller: Instance,
        expected_nqn: &Nqn,
        deadline: Duration,
    ) -> Result<Disconnected, DisconnectError> {
        let held = HeldController::open(self.root(), controller).map_err(|source| {
            let path = self.root().join("sys/class/nvme");
            DisconnectError::Attribute { path, source }
        })?;
        let outcome = match held {
            Some(held) => {
                self.check_refusals(controller, &held)?;
                delete(
                    &held,
                    controller,
                    Expected::Subsystem(expected_nqn),
                    deadline,
                )?
            }
            None => Disconnected::AlreadyGone,
        };
        if let Err(error) = self.registry().remove_dead(controller) {
            let error: &(dyn Error + 'static) = &error;
            tracing::warn!(%controller, error, "cannot remove the owner of a dead controller");
        }
        Ok(outcome)
    }

    /// Refuses controllers that are never disconnected.
    fn check_refusals(
        &self,
        controller: Instance,
        held: &HeldController,
    ) -> Result<(), DisconnectError> {
        let read = |attribute| held.read(attribute).map_err(|source| failed(held, source));
        let transport = Transport::from(read("transport")?.unwrap_or_default().trim());
        if transport == Transport::Pcie {
            return Err(DisconnectError::Pcie { controller });
        }
        let address = TransportAddress::parse_attribute(&read("address")?.unwrap_or_default());
        let (nqn, hostnqn) = (read("subsysnqn")?, read("hostnqn")?);
        let hostid = read("hostid")?.and_then(|text| text.trim().parse().ok());
        let candidate = Candidate {
            transport: &transport,
            address: &address,
            nqn: nqn.as_deref().map(str::trim),
            hostnqn: hostnqn.as_deref().map(str::trim),
            hostid: hostid.as_ref(),
        };
        match self.exclusions()?.find(&candidate) {
            Some(entry) => Err(DisconnectError::Excluded {
                controller,
                entry: entry.text.clone(),
                path: entry.path.clone(),
            }),
            None => Ok(()),
        }
    }
}

/// Deletes the held controller and waits until it is gone.
pub(crate) fn delete(
    held: &HeldController,
    controller: Instance,
    expected: Expected<'_>,
    deadline: Duration,
) -> Result<Disconnected, DisconnectError> {
    let started = Instant::now();
    let until = started + deadline;
    // Opened before the order, so that the removal it causes is not missed.
    let uevents = UeventSocket::open()?;
    let mut last = Attempt::TooEarly;
    loop {
        if last == Attempt::TooEarly {
            last = attempt(held, controller, expected)?;
        }
        if last == Attempt::Gone {
            return Ok(Disconnected::AlreadyGone);
        }
        if held.is_gone().map_err(|source| failed(held, source))? {
            return Ok(match last {
                Attempt::Accepted => Disconnected::Deleted,
                _ => Disconnected::AlreadyGone,
            });
        }
        if Instant::now() >= until {
            let waited = started.elapsed();
            return Err(match last {
                Attempt::TooEarly => DisconnectError::NeverLive { controller },
                _ => DisconnectError::StillThere { controller, waited },
            });
        }
        // A removal and a first "connected" are announced; whatever wakes it, it looks again.
        uevents.receive(Some(until.min(Instant::now() + LOOK_AGAIN)))?;
    }
}

/// Verifies the subsystem and writes the order, both through the held directory.
fn attempt(
    held: &HeldController,
    controller: Instance,
    expected: Expected<'_>,
) -> Result<Attempt, DisconnectError> {
    if let Expected::Subsystem(nqn) = expected {
        let found = held.subsysnqn().map_err(|source| failed(held, source))?;
        match found {
            Subsystem::Gone => return Ok(Attempt::Gone),
            // Not identified yet, so never live: the kernel would answer EBUSY.
            Subsystem::Unknown => return Ok(Attempt::TooEarly),
            Subsystem::Named(found) if found != nqn.as_str() => {
                let expected = nqn.clone();
                return Err(DisconnectError::OtherSubsystem {
                    controller,
                    found,
                    expected,
                });
            }
            Subsystem::Named(_) => {}
        }
    }
    match held.write("delete_controller", "1") {
        Ok(Some(())) => Ok(Attempt::Accepted),
        // The file vanishes as soon as an order is taken: somebody else's is waited for.
        Ok(None) => Ok(Attempt::Elsewhere),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::BUSY) => Ok(Attempt::TooEarly),
        Err(source) => Err(failed(held, source)),
    }
}

fn failed(held: &HeldController, source: io::Error) -> DisconnectError {
    let path = held.path().to_owned();
    DisconnectError::Attribute { path, source }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use tempfile::TempDir;

    use super::*;
    use crate::fixture::{attribute, host, put, volume};

    const NVME0: Instance = Instance(0);

    fn disconnect(root: &TempDir, deadline: Duration) -> Result<Disconnected, DisconnectError> {
        Fabrics::at(root.path()).disconnect(NVME0, &volume(), deadline)
    }

    #[test]
    fn it_returns_when_the_controller_is_gone() {
        let root = host("trixie-one-path");
        let held = HeldController::open(root.path(), NVME0).expect("readable");
        let registry = Fabrics::at(root.path()).registry();
        let claimed = registry.claim(NVME0, &held.expect("nvme0"));
        claimed.expect("an entry");
        let order = attribute(&root, "nvme0", "delete_controller");
        fs::remove_file(&order).expect("a file");
        mkfifo(&order, Mode::S_IRWXU).expect("a pipe");
        let state = attribute(&root, "nvme0", "state");
        let link = root.path().join("sys/class/nvme/nvme0");
        let kernel = thread::spawn(move || {
            let written = fs::read_to_string(order).expect("the order");
            fs::remove_file(state).expect("a file");
            fs::remove_file(link).expect("a link");
            written
        });
        let outcome = disconnect(&root, Duration::from_secs(30)).expect("deleted");
        assert_eq!(outcome, Disconnected::Deleted);
        assert_eq!(kernel.join().expect("no panic"), "1");
        assert!(!root.path().join("run/nvme/registry/nvme0").exists());
    }

    #[test]
    fn to_disconnect_nothing_is_a_success() {
        let root = host("trixie-one-path");
        let fabrics = Fabrics::at(root.path());
        let outcome = fabrics.disconnect(Instance(7), &volume(), Duration::ZERO);
        assert_eq!(outcome.expect("nothing to do"), Disconnected::AlreadyGone);
    }

    #[test]
    fn a_number_that_belongs_to_another_subsystem_is_not_touched() {
        let root = host("trixie-one-path");
        let other = "nqn.2026-01.org.example:volume-11\n";
        fs::write(attribute(&root, "nvme0", "subsysnqn"), other).expect("a file");
        let error = disconnect(&root, Duration::ZERO).expect_err("another subsystem");
        assert!(
            matches!(error, DisconnectError::OtherSubsystem { .. }),
            "{error:?}"
        );
        let order = attribute(&root, "nvme0", "delete_controller");
        assert_eq!(fs::read_to_string(order).expect("a file"), "");
    }

    #[test]
    fn a_pcie_controller_is_refused() {
        let root = host("trixie-one-path");
        fs::write(attribute(&root, "nvme0", "transport"), "pcie\n").expect("a file");
        let error = disconnect(&root, Duration::ZERO).expect_err("PCIe");
        assert!(
            error.to_string().starts_with("nvme0 is a PCIe controller"),
            "{error}"
        );
    }

    #[test]
    fn an_excluded_controller_is_refused() {
        let root = host("trixie-one-path");
        let list = "[exclusions]\nexclusion = nqn=nqn.2026-01.org.example:volume-1\n";
        put(&root, "etc/nvme/exclusions.conf.d/site.conf", list);
        let error = disconnect(&root, Duration::ZERO).expect_err("excluded");
        assert!(
            error.to_string().ends_with("exclusions.conf.d/site.conf"),
            "{error}"
        );
    }

    #[test]
    fn a_controller_is_excluded_by_a_name_that_is_no_nqn() {
        let root = host("trixie-one-path");
        fs::write(attribute(&root, "nvme0", "subsysnqn"), "nqn.odd name\n").expect("a file");
        let list = "[exclusions]\nexclusion = nqn=nqn.odd name\n";
        put(&root, "etc/nvme/exclusions.conf", list);
        let error = disconnect(&root, Duration::ZERO).expect_err("excluded");
        assert!(
            matches!(error, DisconnectError::Excluded { .. }),
            "{error:?}"
        );
    }

    #[test]
    fn a_controller_that_was_never_live_is_said_to_be_so() {
        let root = host("trixie-connecting");
        fs::write(attribute(&root, "nvme0", "subsysnqn"), "(efault)\n").expect("a file");
        let error = disconnect(&root, Duration::ZERO).expect_err("never live");
        assert!(
            matches!(error, DisconnectError::NeverLive { .. }),
            "{error:?}"
        );
    }

    #[test]
    fn a_controller_that_outlives_the_deadline_is_reported() {
        let root = host("trixie-one-path");
        let error = disconnect(&root, Duration::ZERO).expect_err("a plain file deletes nothing");
        assert!(
            matches!(error, DisconnectError::StillThere { .. }),
            "{error:?}"
        );
        let order = attribute(&root, "nvme0", "delete_controller");
        assert_eq!(fs::read_to_string(order).expect("a file"), "1");
    }
}
