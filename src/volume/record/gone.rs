//! The volumes that have left this node while the record of them could not be removed: a mark for each,
//! `/run/nvme/nvmeof-csi/gone/STATE_DIR/VOLUME_ID`, which holds the ID of the boot.
//!
//! The filesystem with the records may be full or read-only, and a volume that has left may be on another node by
//! now: a plugin that is started anew must not believe the record and mount it again. `/run` is in memory, and does not
//! survive a boot any more than what a record says. Invariant: whoever writes or removes the record of a volume that
//! has a mark does so with the marks locked, for records are also mended by the calls of other volumes.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nvme_sysfs::Uuid;
use ring::digest::{SHA256, digest};

use super::RecordError;
use crate::volume::volume_id::VolumeId;

/// Below the root. `/run/nvme` is there for what NVMe programs of a host tell each other.
const DIRECTORY: &str = "run/nvme/nvmeof-csi/gone";

/// The marks of one state directory.
#[derive(Debug)]
pub(super) struct Gone {
    directory: PathBuf,
    boot_id: Uuid,
    marked: Mutex<BTreeSet<VolumeId>>,
}

/// The marks, for as long as nobody else may change them.
#[derive(Debug)]
pub(super) struct Marks<'a> {
    gone: &'a Gone,
    marked: MutexGuard<'a, BTreeSet<VolumeId>>,
}

impl Gone {
    /// The marks that were made in this boot for the records in `state_dir`.
    pub(super) fn read(root: &Path, state_dir: &Path, boot_id: Uuid) -> Result<Gone, RecordError> {
        let gone = Gone {
            directory: root.join(DIRECTORY).join(name_of(state_dir)),
            boot_id,
            marked: Mutex::default(),
        };
        let entries = match fs::read_dir(&gone.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(gone),
            Err(source) => return Err(failed(&gone.directory, source)),
        };
        for entry in entries {
            let entry = entry.map_err(|source| failed(&gone.directory, source))?;
            let path = entry.path();
            let boot = match fs::read_to_string(&path) {
                Ok(boot) => boot,
                Err(error) => {
                    let error: &(dyn Error + 'static) = &error;
                    tracing::warn!(path = %path.display(), error, "it is not a mark of ours");
                    continue;
                }
            };
            let id = entry.file_name().to_str().and_then(|it| it.parse().ok());
            if boot == gone.boot_id.to_string() {
                gone.lock().marked.extend(id);
            }
        }
        Ok(gone)
    }

    /// Whether a volume has left.
    pub(super) fn has(&self, id: &VolumeId) -> bool {
        self.lock().has(id)
    }

    /// Keeps everybody else from the marks.
    pub(super) fn lock(&self) -> Marks<'_> {
        // Each name is whole whatever happened to the thread that held the lock.
        let marked = self.marked.lock().unwrap_or_else(PoisonError::into_inner);
        Marks { gone: self, marked }
    }
}

impl Marks<'_> {
    pub(super) fn has(&self, id: &VolumeId) -> bool {
        self.marked.contains(id)
    }

    /// All volumes that have a mark.
    pub(super) fn all(&self) -> Vec<VolumeId> {
        self.marked.iter().cloned().collect()
    }

    /// Marks a volume.
    pub(super) fn add(&mut self, id: &VolumeId) -> Result<(), RecordError> {
        let path = self.gone.directory.join(id.as_str());
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o755);
        let made = builder.create(&self.gone.directory);
        made.and_then(|()| fs::write(&path, self.gone.boot_id.to_string()))
            .map_err(|source| failed(&path, source))?;
        self.marked.insert(id.clone());
        Ok(())
    }

    /// Takes the mark of a volume away, if it has one.
    pub(super) fn remove(&mut self, id: &VolumeId) -> Result<(), RecordError> {
        if !self.has(id) {
            return Ok(());
        }
        let path = self.gone.directory.join(id.as_str());
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(&path, error)),
            _ => self.marked.remove(id),
        };
        Ok(())
    }
}

/// One component for a path. Two drivers of one node may have volumes of the same name.
fn name_of(state_dir: &Path) -> String {
    let digest = digest(&SHA256, state_dir.as_os_str().as_encoded_bytes());
    let bytes = digest.as_ref().iter().take(16);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

fn failed(path: &Path, source: io::Error) -> RecordError {
    RecordError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: &str = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";
    const NEXT: &str = "cccccccc-cccc-4ccc-8ccc-cccccccccccc";

    fn read(root: &Path, state_dir: &str, boot: &str) -> Gone {
        let boot = boot.parse().expect("a uuid");
        Gone::read(root, Path::new(state_dir), boot).expect("readable")
    }

    #[test]
    fn a_mark_is_known_to_the_next_program_of_the_same_boot_and_state_directory_alone() {
        let root = tempfile::tempdir().expect("a directory");
        let id: VolumeId = "volume-1".parse().expect("an id");
        let first = read(root.path(), "/state", BOOT);
        assert!(!first.has(&id));
        first.lock().add(&id).expect("marked");
        assert!(first.has(&id));
        assert!(read(root.path(), "/state", BOOT).has(&id));
        assert!(!read(root.path(), "/other", BOOT).has(&id));
        assert!(!read(root.path(), "/state", NEXT).has(&id));
        first.lock().remove(&id).expect("removed");
        assert!(!first.has(&id));
        assert!(!read(root.path(), "/state", BOOT).has(&id));
    }
}
