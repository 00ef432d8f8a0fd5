//! csi-sanity, the public conformance suite of CSI.

use std::path::PathBuf;

use crate::golang::{Go, GoError};
use crate::place;
use crate::store;

/// Pinned: another release may ask for more.
const PACKAGE: &str = "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity@v5.6.0";

/// The static program, if it was built.
#[must_use]
pub fn find() -> Option<PathBuf> {
    let program = directory().join("csi-sanity");
    program.is_file().then_some(program)
}

/// The static program, built first where it is not there yet.
///
/// # Errors
/// [`GoError`], naming the step that failed.
pub fn get() -> Result<PathBuf, GoError> {
    let directory = directory();
    store::build_once(&directory, |partial| {
        Go::get()?.install(PACKAGE, "", partial)
    })?;
    Ok(directory.join("csi-sanity"))
}

/// A new release lies beside the old one, so that changing [`PACKAGE`] is enough.
fn directory() -> PathBuf {
    let (_, version) = PACKAGE.rsplit_once('@').expect("the package is pinned");
    place::of("peers").join(format!("csi-sanity-{version}"))
}
