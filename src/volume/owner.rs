//! Who connected a controller.

use std::path::Path;

use nvme_fabrics::{Owner, Registry, RegistryError};
use nvme_sysfs::Instance;
use thiserror::Error;

/// It cannot be told who connected a controller.
#[derive(Debug, Error)]
#[error("cannot tell who connected {controller}")]
pub struct OwnerError {
    /// Which.
    controller: Instance,
    /// Why.
    source: RegistryError,
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
