//! Orders to a controller: to ask for its namespaces again, and to be reset.
//!
//! `rescan_controller` (drivers/nvme/host/sysfs.c) queues the scan and returns: a new size or a new
//! namespace shows up later, by a uevent. `reset_controller` returns when the controller is live again, or going:
//! its I/O in flight ends at once, with an error of the path. The order is written through the held directory of the
//! controller whose subsystem was verified there.

use std::io;
use std::path::PathBuf;

use nvme_sysfs::{Instance, Nqn};

use crate::fabrics::Fabrics;
use crate::held::{Belongs, HeldController};

/// Why a controller did not get its order.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RescanError {
    /// The controller does not exist.
    #[error("{controller} is gone")]
    Gone {
        /// Which.
        controller: Instance,
    },
    /// The number belongs to another subsystem, or to none yet.
    #[error("{controller} belongs to {found}, not to {expected}")]
    OtherSubsystem {
        /// Which.
        controller: Instance,
        /// What it belongs to, as the kernel prints it.
        found: String,
        /// What it was expected to belong to.
        expected: Nqn,
    },
    /// An attribute could not be read or written.
    #[error("cannot access {}", path.display())]
    Attribute {
        /// The attribute or directory.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
}

impl Fabrics {
    /// Makes the kernel look for namespaces of `nvmeN`, and at their sizes, if it still belongs to
    /// `expected_nqn`. The scan itself comes after the return; a controller that is not live scans
    /// when it is.
    ///
    /// # Errors
    /// [`RescanError`].
    pub fn rescan(&self, controller: Instance, expected_nqn: &Nqn) -> Result<(), RescanError> {
        self.order(controller, expected_nqn, "rescan_controller")
    }

    /// Makes the kernel end all I/O of `nvmeN` and connect it anew, if it still belongs to `expected_nqn`.
    ///
    /// # Errors
    /// [`RescanError`]; also when it could not be connected anew.
    pub fn reset(&self, controller: Instance, expected_nqn: &Nqn) -> Result<(), RescanError> {
        self.order(controller, expected_nqn, "reset_controller")
    }

    fn order(
        &self,
        controller: Instance,
        expected_nqn: &Nqn,
        attribute: &str,
    ) -> Result<(), RescanError> {
        let class = self.root().join("sys/class/nvme");
        let gone = || RescanError::Gone { controller };
        let held = HeldController::open(self.root(), controller)
            .map_err(|source| RescanError::Attribute {
                path: class.join(controller.to_string()),
                source,
            })?
            .ok_or_else(gone)?;
        let failed = |source| RescanError::Attribute {
            path: held.path().to_owned(),
            source,
        };
        let other = |found: &str| RescanError::OtherSubsystem {
            controller,
            found: found.to_owned(),
            expected: expected_nqn.clone(),
        };
        match held.belongs_to(expected_nqn).map_err(failed)? {
            Belongs::Here => {}
            Belongs::Elsewhere(found) => return Err(other(&found)),
            Belongs::Nowhere => return Err(other("no subsystem yet")),
            Belongs::Gone => return Err(gone()),
        }
        let asked = held.write(attribute, "1").map_err(failed)?;
        asked.ok_or_else(gone)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::fixture::{attribute, host, volume};

    #[test]
    fn the_order_is_written_to_the_controller_of_the_subsystem() {
        let root = host("trixie-one-path");
        let order = attribute(&root, "nvme0", "rescan_controller");
        let fabrics = Fabrics::at(root.path());
        fabrics.rescan(Instance(0), &volume()).expect("asked");
        assert_eq!(fs::read_to_string(order).expect("a file"), "1");
        let order = attribute(&root, "nvme0", "reset_controller");
        fs::write(&order, "").expect("a file");
        fabrics.reset(Instance(0), &volume()).expect("ordered");
        assert_eq!(fs::read_to_string(order).expect("a file"), "1");
    }

    #[test]
    fn another_subsystem_is_not_asked() {
        let root = host("trixie-one-path");
        for text in ["nqn.2026-01.org.example:volume-11\n", "(efault)\n"] {
            fs::write(attribute(&root, "nvme0", "subsysnqn"), text).expect("a file");
            let error = Fabrics::at(root.path()).rescan(Instance(0), &volume());
            assert!(
                matches!(error, Err(RescanError::OtherSubsystem { .. })),
                "{error:?}"
            );
        }
        let order = attribute(&root, "nvme0", "rescan_controller");
        assert_eq!(fs::read_to_string(order).expect("a file"), "");
    }

    #[test]
    fn a_controller_that_is_gone_is_an_error() {
        let root = host("trixie-one-path");
        let error = Fabrics::at(root.path()).rescan(Instance(7), &volume());
        assert!(matches!(error, Err(RescanError::Gone { .. })), "{error:?}");
    }
}
