//! A controller held from before it is decided that it goes until it is gone.
//!
//! Invariant: what is held here is neither PCIe nor excluded.

use std::time::Duration;

use nvme_sysfs::{Instance, Nqn, Transport};

use super::{DisconnectError, Disconnected, Expected, delete};
use crate::fabrics::Fabrics;
use crate::held::HeldController;

/// A controller that may have to go, held so that its number is never mistaken for another's.
///
/// A number is not given away while its controller exists, so what was read of `nvmeN` after
/// [`Fabrics::hold`] was read of the very controller that [`Leaving::disconnect`] deletes.
#[derive(Debug)]
pub struct Leaving {
    fabrics: Fabrics,
    controller: Instance,
    held: HeldController,
}

impl Leaving {
    /// Its number.
    #[must_use]
    pub fn controller(&self) -> Instance {
        self.controller
    }

    /// As [`Fabrics::disconnect`], for this very controller. `stop` is asked several times a second
    /// whether the wait is to end early; the kernel's own work on the order cannot be ended.
    ///
    /// # Errors
    /// As [`Fabrics::disconnect`], and when it was stopped.
    pub fn disconnect(
        &self,
        expected_nqn: &Nqn,
        deadline: Duration,
        stop: &dyn Fn() -> bool,
    ) -> Result<Disconnected, DisconnectError> {
        let expected = Expected::Subsystem(expected_nqn);
        self.fabrics.check_refusals(self.controller, &self.held)?;
        let outcome = delete(&self.held, self.controller, expected, deadline, stop)?;
        self.fabrics.forget_owner(self.controller);
        Ok(outcome)
    }
}

impl Fabrics {
    /// Takes hold of `nvmeN`, unless it is one that is never disconnected; `None` when there is
    /// none.
    ///
    /// # Errors
    /// PCIe and excluded controllers are refused; others cannot be read.
    pub fn hold(&self, controller: Instance) -> Result<Option<Leaving>, DisconnectError> {
        let held = HeldController::open(self.root(), controller).map_err(|source| {
            let path = self.root().join("sys/class/nvme");
            DisconnectError::Attribute { path, source }
        })?;
        let Some(held) = held else {
            return Ok(None);
        };
        self.check_refusals(controller, &held)?;
        Ok(Some(Leaving {
            fabrics: self.clone(),
            controller,
            held,
        }))
    }

    /// Refuses controllers that are never disconnected.
    fn check_refusals(
        &self,
        controller: Instance,
        held: &HeldController,
    ) -> Result<(), DisconnectError> {
        let read = |attribute| {
            let text = held.read(attribute);
            text.map_err(|source| DisconnectError::Attribute {
                path: held.path().join(attribute),
                source,
            })
        };
        let transport = Transport::from(read("transport")?.unwrap_or_default().trim());
        if transport == Transport::Pcie {
            return Err(DisconnectError::Pcie { controller });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::fixture::{attribute, host, volume};

    #[test]
    fn a_held_controller_whose_number_was_reused_within_the_subsystem_is_gone() {
        let root = host("trixie-one-path");
        let fabrics = Fabrics::at(root.path());
        let held = fabrics.hold(Instance(0)).expect("readable").expect("nvme0");
        let devices = root.path().join("sys/devices/virtual/nvme-fabrics/ctl");
        fs::remove_file(attribute(&root, "nvme0", "state")).expect("a file");
        fs::remove_file(attribute(&root, "nvme0", "subsysnqn")).expect("a file");
        fs::rename(devices.join("nvme0"), devices.join("dead")).expect("a directory");
        fs::create_dir(devices.join("nvme0")).expect("a directory");
        for (name, text) in [
            ("state", "live"),
            ("subsysnqn", volume().as_str()),
            ("delete_controller", ""),
        ] {
            fs::write(attribute(&root, "nvme0", name), text).expect("a file");
        }
        let outcome = held.disconnect(&volume(), Duration::ZERO, &|| false);
        assert_eq!(outcome.expect("gone"), Disconnected::AlreadyGone);
        let order = attribute(&root, "nvme0", "delete_controller");
        assert_eq!(fs::read_to_string(order).expect("a file"), "");
    }
}
