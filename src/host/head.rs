//! How long a multipath head outlives its last path: `/sys/block/nvmeXnY/delayed_removal_secs`
//! (since 6.16, drivers/nvme/host/multipath.c).
//!
//! The kernel takes the value at the moment of the loss, so it must be there before. A smaller value
//! written during a loss lets nothing go: what waits already, waits on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::attribute::{AttributeError, is_gone, write};

/// Why a head does not outlive its paths.
#[derive(Debug, Error)]
pub enum HeadError {
    /// The kernel has no such attribute, or there is no such head.
    #[error("there is no {}: the kernel is older than 6.16, or the disk is gone", path.display())]
    Missing {
        /// The attribute.
        path: PathBuf,
    },
    /// The attribute cannot be written.
    #[error(transparent)]
    Write(#[from] AttributeError),
}

/// Writes the time in whole seconds; see [`crate::host::Host::keep_head`].
pub(crate) fn keep(root: &Path, disk: &str, time: Duration) -> Result<(), HeadError> {
    let directory = root.join("sys/block").join(disk);
    let path = directory.join("delayed_removal_secs");
    match write(&path, &time.as_secs().to_string()) {
        Err(error) if is_gone(&error.source) => Err(HeadError::Missing { path }),
        written => Ok(written?),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn seconds_are_written_and_a_kernel_without_the_attribute_is_told() {
        let root = tempfile::tempdir().expect("a directory");
        let directory = root.path().join("sys/block/nvme0n1");
        fs::create_dir_all(&directory).expect("a directory");
        let time = Duration::from_secs(600);
        let error = keep(root.path(), "nvme0n1", time).expect_err("no attribute");
        assert!(matches!(error, HeadError::Missing { .. }), "{error}");
        let attribute = directory.join("delayed_removal_secs");
        fs::write(&attribute, "0\n").expect("an attribute");
        keep(root.path(), "nvme0n1", time).expect("written");
        let text = fs::read_to_string(&attribute).expect("an attribute");
        assert!(text.starts_with("600"), "{text}");
    }
}
