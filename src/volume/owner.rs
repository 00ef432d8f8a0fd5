//! Who connected a controller.

use std::path::Path;

use nvme_fabrics::{Owner, Registry, RegistryError};
use nvme_sysfs::{Controller, Instance};
use thiserror::Error;

use super::volumes::Volumes;

/// It cannot be told who connected a controller.
#[derive(Debug, Error)]
#[error("cannot tell who connected {controller}")]
pub struct OwnerError {
    /// Which.
    controller: Instance,
    /// Why.
    source: RegistryError,
}

impl Volumes {
    /// Whether this driver may have connected a controller: its name stands in the registry, or that of a version
    /// which told nobody apart.
    ///
    /// # Errors
    /// [`OwnerError`].
    pub(super) fn owns(&self, controller: Instance) -> Result<bool, OwnerError> {
        let owner = read_owner(&self.config.root, controller)?;
        Ok(is_driver(owner.as_ref(), Some(&self.config.driver)))
    }

    /// Whether nobody but this driver can want a controller: it connected it, or it is one of a discovery that was killed.
    ///
    /// # Errors
    /// [`OwnerError`].
    pub fn may_be_dropped(&self, controller: &Controller) -> Result<bool, OwnerError> {
        let owner = read_owner(&self.config.root, controller.instance)?;
        Ok(owner.is_some_and(|owner| match owner {
            Owner::Driver(driver) => driver == self.config.driver,
            other => other.is_this_program() && !controller.serves_io(),
        }))
    }
}

/// Whether the owner of a controller is this driver, or where its name is not known, any of this program.
pub(super) fn is_driver(owner: Option<&Owner>, driver: Option<&str>) -> bool {
    match owner {
        Some(Owner::Driver(theirs)) => driver.is_none_or(|driver| driver == theirs),
        Some(Owner::Program) => true,
        Some(Owner::Administrator | Owner::Other(_)) | None => false,
    }
}

/// Who connected a controller, by the registry; `None` where nobody has put a name there.
pub(super) fn read_owner(root: &Path, controller: Instance) -> Result<Option<Owner>, OwnerError> {
    let owner = Registry::at(root).owner(controller);
    owner.map_err(|source| OwnerError { controller, source })
}
