//! Directories below `target/lab` that are built once: kernels and peers.
//!
//! Invariant: such a directory appears by one rename, when all of it is there and on the disk; concurrent builders wait
//! for the first. What an interrupted builder left is never taken for the whole, and removed by the next.

use std::fs::{self, File};
use std::io;
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
    let partial = ready.with_added_extension("partial");
    // The lock is ours: whoever made this was interrupted.
    remove(&partial)?;
    fs::create_dir(&partial).map_err(at(&partial))?;
    let built = build(&partial);
    if built.is_err() {
        // The next builder tries again, and why this one failed is what is to be told.
        let _left = remove(&partial);
        return built;
    }
    // A rename may be on the disk before what is renamed.
    sync(&partial).map_err(at(&partial))?;
    fs::rename(&partial, ready).map_err(at(ready))?;
    Ok(())
}

fn remove(directory: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(directory)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes out all that the directory's filesystem has not written yet.
fn sync(directory: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(directory)?)?)
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
        let left = fs::read_dir(store.path()).expect("a directory").count();
        assert_eq!(left, 1, "only the lock");
        build_once::<StoreError>(&ready, |_| Ok(())).expect("built now");
        assert!(ready.is_dir() && !ready.join("half").exists());
    }

    #[test]
    fn what_an_interrupted_builder_left_is_no_part_of_the_whole() {
        let store = TempDir::new().expect("a directory");
        let ready = store.path().join("6.12+deb13");
        let interrupted = std::panic::catch_unwind(|| {
            build_once::<StoreError>(&ready, |partial| {
                fs::write(partial.join("half"), "").expect("a file");
                panic!("interrupted")
            })
        });
        assert!(interrupted.is_err() && !ready.exists());
        let left = ready.with_added_extension("partial");
        assert!(left.join("half").exists(), "{left:?}");
        let whole = |partial: &Path| fs::write(partial.join("whole"), "").map_err(at(partial));
        build_once(&ready, whole).expect("built now");
        assert!(ready.join("whole").exists() && !ready.join("half").exists() && !left.exists());
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
