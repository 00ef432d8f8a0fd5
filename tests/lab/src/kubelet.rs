//! Clients that dial a plugin as kubelet does, built from the Go module at `tests/lab/kubelet`.
//!
//! kubelet's own gRPC, because no other sends the headers that it sends.

use std::path::PathBuf;

use crate::golang::{Go, GoError};
use crate::place;
use crate::store;

/// Pins every module; its go.sum says what they hold.
const MODULE: &str = include_str!("../kubelet/go.mod");
const PROGRAM: &str = "kubelet";

/// The static program, if it was built.
#[must_use]
pub fn find() -> Option<PathBuf> {
    let program = directory().join(PROGRAM);
    program.is_file().then_some(program)
}

/// The static program, built first where it is not there yet.
///
/// # Errors
/// [`GoError`], naming the step that failed.
pub fn get() -> Result<PathBuf, GoError> {
    let directory = directory();
    store::build_once(&directory, |partial| {
        let module = place::workspace().join("tests/lab/kubelet");
        Go::get()?.build(&module, ".", "", &partial.join(PROGRAM))
    })?;
    Ok(directory.join(PROGRAM))
}

/// A new release lies beside the old one, so that changing go.mod is enough.
fn directory() -> PathBuf {
    place::of("peers").join(format!("kubelet-client-{}", version()))
}

/// The release of kubelet that go.mod pins, as `v0.37.2`.
fn version() -> &'static str {
    let lines = MODULE.lines().map(str::trim);
    let mut versions = lines.filter_map(|line| line.strip_prefix("k8s.io/kubelet "));
    versions.next().expect("go.mod requires kubelet")
}
