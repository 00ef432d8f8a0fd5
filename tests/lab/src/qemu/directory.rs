//! The directory with the files of one boot, removed after it.
//!
//! Each is locked while its boot runs, so that the next boot can remove what a killed process left behind.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use tempfile::TempDir;

const LOCK: &str = "lock";

/// A new directory, locked.
#[derive(Debug)]
pub(super) struct BootDirectory {
    directory: TempDir,
    _lock: File,
}

impl BootDirectory {
    /// Removes what dead boots left below `boots`, and makes a directory there.
    pub(super) fn new_in(boots: &Path) -> io::Result<Self> {
        fs::create_dir_all(boots)?;
        for entry in fs::read_dir(boots)? {
            remove_if_dead(&entry?.path())?;
        }
        let directory = TempDir::new_in(boots)?;
        // Locked before it has the name that others look for.
        let unnamed = directory.path().join("lock.new");
        let lock = File::create(&unnamed)?;
        lock.lock()?;
        fs::rename(&unnamed, directory.path().join(LOCK))?;
        Ok(Self {
            directory,
            _lock: lock,
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// A directory that another boot is just making, or has just removed, has no lock file.
fn remove_if_dead(directory: &Path) -> io::Result<()> {
    let lock = match File::open(directory.join(LOCK)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    match lock.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
        Ok(()) => match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_boots_directory_goes_and_a_running_ones_stays() {
        let boots = TempDir::new().expect("a directory");
        let dead = boots.path().join("dead");
        fs::create_dir(&dead).expect("a directory");
        fs::write(dead.join(LOCK), "").expect("a file");
        let running = BootDirectory::new_in(boots.path()).expect("a directory");
        let next = BootDirectory::new_in(boots.path()).expect("a directory");
        assert!(!dead.exists() && running.path().is_dir() && next.path().is_dir());
    }
}
