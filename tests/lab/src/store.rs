//! Directories below `target/lab` that are built once: kernels and peers.
//!
//! Invariant: such a directory appears by one rename, when all of it is there; concurrent builders wait for the first.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The lab's own files cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot read or write {path}")]
pub struct StoreError {
    /// The file or directory.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Has `build` fill a directory and renames that to `ready`, unless `ready` is there.
pub(crate) fn build_once<E: From<StoreError>>(
    ready: &Path,
    build: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let parent = ready
        .parent()
        .expect("a directory of the store has a parent");
    fs::create_dir_all(parent).map_err(at(parent))?;
    let lock_path = ready.with_added_extension("lock");
    let lock = File::create(&lock_path).map_err(at(&lock_path))?;
    lock.lock().map_err(at(&lock_path))?;
    if ready.exists() {
        return Ok(());
    }
    let partial = tempfile::Builder::new()
        .prefix(".partial-")
        .tempdir_in(parent)
        .map_err(at(parent))?;
    build(partial.path())?;
    // Temporary directories are private; this one is for every user of the machine.
    fs::set_permissions(partial.path(), Permissions::from_mode(0o755))
        .map_err(at(partial.path()))?;
    fs::rename(partial.keep(), ready).map_err(at(ready))?;
    Ok(())
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;
    use tempfile::TempDir;

    #[test]
    fn a_failed_build_leaves_nothing_that_counts() {
        let store = TempDir::new().expect("a directory");
        let ready = store.path().join("6.1");
        let failed = build_once(&ready, |partial| {
            fs::write(partial.join("half"), "").map_err(at(partial))?;
            Err(StoreError {
                path: "network".into(),
                source: io::Error::other("gone"),
            })
        });
        assert!(failed.is_err() && !ready.exists());
        build_once::<StoreError>(&ready, |_| Ok(())).expect("built now");
        assert!(ready.is_dir() && !ready.join("half").exists());
    }

    #[test]
    fn concurrent_callers_build_once() {
        let store = TempDir::new().expect("a directory");
        let ready = store.path().join("trixie");
        let built = AtomicU32::new(0);
        let build = |_: &Path| {
            built.fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| build_once::<StoreError>(&ready, build).expect("builds"));
            }
        });
        assert_eq!(built.load(Ordering::Relaxed), 1);
    }
}
