//! Where the lab keeps its things: `target/lab` of this workspace.
//!
//! Always below the workspace, also when `CARGO_TARGET_DIR` points elsewhere: the kernels are downloaded once.

use std::env;
use std::path::PathBuf;

/// The workspace's top directory.
#[must_use]
pub fn workspace() -> PathBuf {
    let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let workspace = package
        .ancestors()
        .nth(2)
        .expect("this package is at tests/lab of the workspace");
    workspace.to_owned()
}

/// The directory, or file, of one kind of things: `apt`, `initramfs`, `logs`, `boots`, `peers`, `durations`.
#[must_use]
pub fn of(kind: &str) -> PathBuf {
    workspace().join("target/lab").join(kind)
}

/// The directory of ready kernels, one per suite.
pub(crate) fn kernels() -> Kernels {
    match env::var_os("LAB_KERNEL_DIR") {
        Some(directory) => Kernels::Given(directory.into()),
        None => Kernels::Own(of("kernels")),
    }
}

/// Whose kernels they are.
pub(crate) enum Kernels {
    /// Ours: what is missing may be downloaded.
    Own(PathBuf),
    /// From `LAB_KERNEL_DIR`: used as they are.
    Given(PathBuf),
}
