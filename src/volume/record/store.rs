//! The directory of the records.
//!
//! Invariants: a file appears whole and on the disk (temporary file, fsync, rename, fsync of the
//! directory); a record that cannot be read is an error and never "no record". What was undone on this node stays
//! undone where the filesystem takes nothing: then the record is mended by the next write that works.

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nvme_sysfs::Uuid;
use serde::Deserialize;

use super::gone::{Gone, Marks};
use super::{Phase, RecordError, StageRecord, secrets};
use crate::causes::chain;
use crate::shared::{Reading, Shared};
use crate::volume::request::Secrets;
use crate::volume::volume_id::VolumeId;

const RECORD: &str = "record.json";
const SECRETS: &str = "secrets";

/// The records of this node.
#[derive(Debug)]
pub struct Records {
    directory: PathBuf,
    boot_id: Uuid,
    all: Shared<Vec<StageRecord>>,
    readable: Shared<(Vec<StageRecord>, Complete)>,
    /// Why records could not be read when all were read last: it is told once.
    told: Mutex<BTreeMap<VolumeId, String>>,
    gone: Gone,
}

/// Whether every record could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Complete {
    /// Every one.
    Yes,
    /// There is one that nothing is known of.
    No,
}

/// The one field that every form has.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl Records {
    /// The records below `state_dir`, seen from this boot of the machine below `root`.
    ///
    /// # Errors
    /// [`RecordError`], when it cannot be told which volumes have left without their record.
    pub(in crate::volume) fn at(
        root: &Path,
        state_dir: &Path,
        boot_id: Uuid,
    ) -> Result<Records, RecordError> {
        Ok(Records {
            directory: state_dir.join("volumes"),
            boot_id,
            all: Shared::default(),
            readable: Shared::default(),
            told: Mutex::default(),
            gone: Gone::read(root, state_dir, boot_id)?,
        })
    }

    /// The running boot.
    pub(in crate::volume) fn boot_id(&self) -> Uuid {
        self.boot_id
    }

    /// What is known about a volume; of another boot, or of one that has left, only what still counts.
    ///
    /// # Errors
    /// [`RecordError`].
    pub(in crate::volume) fn read(
        &self,
        id: &VolumeId,
    ) -> Result<Option<StageRecord>, RecordError> {
        let record = self.read_any(id)?;
        let record = record.and_then(|record| self.seen_from_this_boot(record));
        Ok(match self.gone.has(id) {
            true => record.and_then(StageRecord::remainder),
            false => record,
        })
    }

    /// What is known about every volume.
    ///
    /// # Errors
    /// [`RecordError`].
    pub(in crate::volume) fn read_all(&self) -> Result<Reading<Vec<StageRecord>>, RecordError> {
        self.all.read(|| {
            let mut records = Vec::new();
            for id in self.ids()? {
                records.extend(self.read(&id)?);
            }
            Ok(records)
        })
    }

    /// What is known about every volume whose record can be read, and whether that is all of them. A
    /// record that cannot be read is logged once, and its volume left alone.
    ///
    /// # Errors
    /// [`RecordError`], when the records cannot be listed.
    pub(in crate::volume) fn read_readable(
        &self,
    ) -> Result<Reading<(Vec<StageRecord>, Complete)>, RecordError> {
        self.readable.read(|| {
            let mut records = Vec::new();
            let mut failed = BTreeMap::new();
            for id in self.ids()? {
                match self.read(&id) {
                    Ok(record) => records.extend(record),
                    Err(error) => drop(failed.insert(id, chain(&error))),
                }
            }
            let complete = match failed.is_empty() {
                true => Complete::Yes,
                false => Complete::No,
            };
            self.tell_news(failed);
            Ok((records, complete))
        })
    }

    fn tell_news(&self, failed: BTreeMap<VolumeId, String>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for (volume_id, error) in &failed {
            if told.get(volume_id) != Some(error) {
                tracing::warn!(%volume_id, error, "cannot read the record of a volume");
            }
        }
        *told = failed;
    }

    /// The secrets that were kept for a volume.
    ///
    /// # Errors
    /// [`RecordError`].
    pub(in crate::volume) fn read_secrets(&self, id: &VolumeId) -> Result<Secrets, RecordError> {
        let path = self.volume(id).join(SECRETS);
        secrets::read(&path).map_err(|source| failed(&path, source))
    }

    /// Puts the secrets of a volume that has a record in place of what was there.
    ///
    /// # Errors
    /// [`RecordError`]; then the file is the old or the new one.
    pub(in crate::volume) fn write_secrets(
        &self,
        id: &VolumeId,
        secrets: &Secrets,
    ) -> Result<(), RecordError> {
        let path = self.volume(id).join(SECRETS);
        if secrets::is_empty(secrets) {
            return remove_file(&path);
        }
        replace(&path, |temporary| secrets::write(temporary, secrets))
    }

    /// Puts a record in place of what was there, and mends what could not be removed before.
    ///
    /// # Errors
    /// [`RecordError`]; then the file is the old or the new one.
    pub(in crate::volume) fn write(&self, record: &StageRecord) -> Result<(), RecordError> {
        let marks = self.marks_over(&record.volume_id);
        match (self.put(record), marks) {
            (Ok(()), Some(mut marks)) => marks.remove(&record.volume_id)?,
            (written, _) => written?,
        }
        self.mend();
        Ok(())
    }

    /// Writes what has happened already and is not to be taken back. Where the filesystem takes nothing, the record
    /// stays as it is until the next write. Says whether it was written.
    ///
    /// # Errors
    /// Any other [`RecordError`].
    pub(in crate::volume) fn note(&self, record: &StageRecord) -> Result<bool, RecordError> {
        match self.write(record) {
            Err(error) if error.is_no_room() => {
                tell_later(&record.volume_id, &error);
                Ok(false)
            }
            written => written.map(|()| true),
        }
    }

    /// Removes the record of a volume that has left, and its secrets; nothing there is a success. What an unfinished
    /// filesystem needs is kept. Where the filesystem takes nothing, the record says nothing from now on, and
    /// is removed later.
    ///
    /// # Errors
    /// [`RecordError`]; then it may still be believed.
    pub(in crate::volume) fn close(&self, id: &VolumeId) -> Result<(), RecordError> {
        let marks = self.marks_over(id);
        let removed = self.remove(id);
        drop(marks);
        match removed {
            Err(error) if error.is_no_room() => {
                self.gone.lock().add(id)?;
                tell_later(id, &error);
                Ok(())
            }
            Err(error) => Err(error),
            Ok(()) => {
                self.gone.lock().remove(id)?;
                self.mend();
                Ok(())
            }
        }
    }

    /// Removes the records that could not be removed when their volumes left, as far as it can be done now.
    pub(in crate::volume) fn mend(&self) {
        let mut marks = self.gone.lock();
        for id in marks.all() {
            match self.mend_one(&id, &mut marks) {
                Ok(()) => {
                    tracing::info!(volume_id = %id, "the record of a volume that has left is removed")
                }
                Err(error) => {
                    let error: &(dyn Error + 'static) = &error;
                    tracing::debug!(volume_id = %id, error, "the record of a volume that has left stays");
                }
            }
        }
    }

    /// The marks, if this volume has one.
    fn marks_over(&self, id: &VolumeId) -> Option<Marks<'_>> {
        Some(self.gone.lock()).filter(|marks| marks.has(id))
    }

    fn mend_one(&self, id: &VolumeId, marks: &mut Marks<'_>) -> Result<(), RecordError> {
        self.remove(id)?;
        marks.remove(id)
    }

    fn put(&self, record: &StageRecord) -> Result<(), RecordError> {
        let directory = self.volume(&record.volume_id);
        make_directory(&directory)?;
        let path = directory.join(RECORD);
        let text = serde_json::to_vec_pretty(record).map_err(|source| {
            let path = path.clone();
            RecordError::Malformed { path, source }
        })?;
        replace(&path, |temporary| write_synced(temporary, &text))
    }

    fn remove(&self, id: &VolumeId) -> Result<(), RecordError> {
        let directory = self.volume(id);
        remove_file(&directory.join(SECRETS))?;
        let record = self.read_any(id)?;
        let record = record.and_then(|record| self.seen_from_this_boot(record));
        match record.and_then(StageRecord::remainder) {
            Some(remainder) => self.put(&remainder),
            None => self.remove_directory(&directory),
        }
    }

    /// Removes what is left of other boots and does not count any more. A record that cannot be
    /// read stays: the calls for its volume will say so.
    ///
    /// # Errors
    /// [`RecordError`], when the records cannot be listed.
    pub(in crate::volume) fn drop_earlier_boots(&self) -> Result<(), RecordError> {
        for id in self.ids()? {
            if let Err(error) = self.drop_earlier_boot(&id) {
                let error: &(dyn Error + 'static) = &error;
                tracing::warn!(volume_id = %id, error, "cannot tidy up the record of a volume");
            }
        }
        Ok(())
    }

    fn drop_earlier_boot(&self, id: &VolumeId) -> Result<(), RecordError> {
        match self.read_any(id)? {
            Some(record) if record.boot_id == self.boot_id => Ok(()),
            _ => self.remove(id),
        }
    }

    fn remove_directory(&self, directory: &Path) -> Result<(), RecordError> {
        remove_file(&directory.join(RECORD))?;
        for name in [RECORD, SECRETS] {
            remove_file(&temporary(&directory.join(name)))?;
        }
        match fs::remove_dir(directory) {
            Ok(()) => sync_directory(&self.directory),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(source) => Err(failed(directory, source)),
        }
    }

    /// A record of another boot is reduced to what still counts.
    fn seen_from_this_boot(&self, record: StageRecord) -> Option<StageRecord> {
        if record.boot_id == self.boot_id {
            return Some(record);
        }
        match record.phase {
            Phase::Formatting(_) | Phase::Interrupted(_) => record.remainder(),
            Phase::Attaching | Phase::Attached(_) | Phase::Staged(_) => None,
        }
    }

    fn read_any(&self, id: &VolumeId) -> Result<Option<StageRecord>, RecordError> {
        let path = self.volume(id).join(RECORD);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed(&path, source)),
        };
        let record = parse(&path, &text)?;
        if record.volume_id != *id {
            let found = record.volume_id;
            return Err(RecordError::OtherVolume { path, found });
        }
        Ok(Some(record))
    }

    fn ids(&self) -> Result<Vec<VolumeId>, RecordError> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(failed(&self.directory, source)),
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry.map_err(|source| failed(&self.directory, source))?;
            // Whatever has another name was not made by us.
            ids.extend(name.file_name().to_str().and_then(|name| name.parse().ok()));
        }
        ids.sort_unstable();
        Ok(ids)
    }

    fn volume(&self, id: &VolumeId) -> PathBuf {
        self.directory.join(id.as_str())
    }
}

fn tell_later(id: &VolumeId, error: &RecordError) {
    let error: &(dyn Error + 'static) = error;
    tracing::warn!(volume_id = %id, error, "the record of a volume is behind: it is mended when there is room for it");
}

fn parse(path: &Path, text: &[u8]) -> Result<StageRecord, RecordError> {
    let malformed = |source| RecordError::Malformed {
        path: path.to_owned(),
        source,
    };
    let record = serde_json::from_slice(text);
    if let Ok(StageRecord {
        version: StageRecord::VERSION,
        ..
    }) = record
    {
        return record.map_err(malformed);
    }
    // Of another form the number alone says something.
    let Version { version } = serde_json::from_slice(text).map_err(malformed)?;
    if version != StageRecord::VERSION {
        return Err(RecordError::Version {
            path: path.to_owned(),
            found: version,
        });
    }
    record.map_err(malformed)
}

/// Makes the directory of a volume, readable by root alone, and makes sure that it stays.
fn make_directory(path: &Path) -> Result<(), RecordError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder
        .create(path)
        .map_err(|source| failed(path, source))?;
    path.parent().map_or(Ok(()), sync_directory)
}

fn replace(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), RecordError> {
    let temporary = temporary(path);
    write(&temporary).map_err(|source| failed(&temporary, source))?;
    fs::rename(&temporary, path).map_err(|source| failed(path, source))?;
    path.parent().map_or(Ok(()), sync_directory)
}

fn write_synced(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text)?;
    file.sync_all()
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(OsStr::new(".tmp"));
    path.with_file_name(name)
}

fn remove_file(path: &Path) -> Result<(), RecordError> {
    match fs::remove_file(path) {
        Ok(()) => path.parent().map_or(Ok(()), sync_directory),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(source) => Err(failed(path, source)),
    }
}

fn sync_directory(path: &Path) -> Result<(), RecordError> {
    let synced = File::open(path).and_then(|directory| directory.sync_all());
    synced.map_err(|source| failed(path, source))
}

fn failed(path: &Path, source: io::Error) -> RecordError {
    RecordError::Io {
        path: path.to_owned(),
        source,
    }
}
