//! Deletes a controller and comes back when it is gone.
//!
//! `delete_controller` is written through the held directory of the controller whose subsystem
//! was verified there, so that a number that was reused meanwhile is never hit. The write blocks
//! until the kernel has flushed and shut the controller down, tens of seconds if the target is
//! gone: a caller with a deadline of its own gives it a thread.

mod error;
mod leaving;

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use nvme_sysfs::{Instance, Nqn, UeventSocket};
use rustix::io::Errno;

use crate::fabrics::Fabrics;
use crate::held::{HeldController, Subsystem};
pub use error::DisconnectError;
pub use leaving::Leaving;

/// Longest wait for a uevent before looking again: not every network namespace gets uevents, and a
/// wish to stop comes without one.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// How a disconnect ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disconnected {
    /// The controller was deleted.
    Deleted,
    /// There was no such controller.
    AlreadyGone,
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
        if let Some(leaving) = self.hold(controller)? {
            return leaving.disconnect(expected_nqn, deadline, &|| false);
        }
        self.forget_owner(controller);
        Ok(Disconnected::AlreadyGone)
    }

    /// Removes what the ownership registry says of a controller that is gone.
    pub(crate) fn forget_owner(&self, controller: Instance) {
        if let Err(error) = self.registry().remove_dead(controller) {
            let error: &(dyn Error + 'static) = &error;
            tracing::warn!(%controller, error, "cannot remove the owner of a dead controller");
        }
    }
}

/// Deletes the held controller and waits until it is gone, or `stop` says that it is enough.
pub(crate) fn delete(
    held: &HeldController,
    controller: Instance,
    expected: Expected<'_>,
    deadline: Duration,
    stop: &dyn Fn() -> bool,
) -> Result<Disconnected, DisconnectError> {
    let started = Instant::now();
    let until = started + deadline;
    // Opened before the order, so that the removal it causes is not missed.
    let uevents = UeventSocket::open()?;
    let mut last = Attempt::TooEarly;
    loop {
        if last == Attempt::TooEarly && !stop() {
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
        if stop() {
            return Err(match last {
                Attempt::TooEarly => DisconnectError::InterruptedBefore { controller },
                _ => DisconnectError::InterruptedMeanwhile { controller },
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
    use crate::owner::Owner;

    const NVME0: Instance = Instance(0);

    fn disconnect(root: &TempDir, deadline: Duration) -> Result<Disconnected, DisconnectError> {
        Fabrics::at(root.path()).disconnect(NVME0, &volume(), deadline)
    }

    #[test]
    fn it_returns_when_the_controller_is_gone() {
        let root = host("trixie-one-path");
        let held = HeldController::open(root.path(), NVME0).expect("readable");
        let registry = Fabrics::at(root.path()).registry();
        let claimed = registry.claim(NVME0, &held.expect("nvme0"), &Owner::Program);
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
    fn an_exclusion_says_nothing_about_what_leaves() {
        let root = host("trixie-one-path");
        let list = "[exclusions]\nexclusion = nqn=nqn.2026-01.org.example:volume-1\n";
        put(&root, "etc/nvme/exclusions.conf.d/site.conf", list);
        let error = disconnect(&root, Duration::ZERO).expect_err("a plain file deletes nothing");
        assert!(
            matches!(error, DisconnectError::StillThere { .. }),
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
    fn a_wait_that_is_stopped_says_whether_the_kernel_has_the_order() {
        let root = host("trixie-one-path");
        let order = attribute(&root, "nvme0", "delete_controller");
        let fabrics = Fabrics::at(root.path());
        let held = fabrics.hold(NVME0).expect("readable").expect("nvme0");
        let stopped = |stop: &dyn Fn() -> bool| {
            let deadline = Duration::from_secs(3600);
            held.disconnect(&volume(), deadline, stop)
                .expect_err("stopped")
        };
        let before = stopped(&|| true);
        assert!(
            matches!(before, DisconnectError::InterruptedBefore { .. }),
            "{before:?}"
        );
        assert_eq!(fs::read_to_string(&order).expect("a file"), "");
        let ordered = || fs::read_to_string(&order).expect("a file") == "1";
        let meanwhile = stopped(&ordered);
        assert!(
            matches!(meanwhile, DisconnectError::InterruptedMeanwhile { .. }),
            "{meanwhile:?}"
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
