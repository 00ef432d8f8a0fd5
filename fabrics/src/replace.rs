//! Files that appear at once and whole: temporary file, fsync, then rename or link, fsync.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::rand::{GetRandomFlags, getrandom};

/// What a file appearing under a name that is taken does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// It stays, and the new file fails with `AlreadyExists`.
    Keep,
    /// It is replaced.
    Replace,
}

/// Writes `text` to `path` with mode 0644, visible only when complete and on the disk.
pub(crate) fn write_file(path: &Path, text: &str, existing: Existing) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let temporary = temporary_name(path)?;
    let written = write_temporary(&temporary, text).and_then(|()| match existing {
        Existing::Keep => fs::hard_link(&temporary, path),
        Existing::Replace => fs::rename(&temporary, path),
    });
    if existing == Existing::Keep || written.is_err() {
        // Its content, if any, is under its final name; a leftover would only be litter.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    File::open(dir)?.sync_all()
}

/// Never opens a file that is there: it could be another writer's, linked to its final name already.
fn write_temporary(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// A hidden name beside `path` that no other writer has. Process numbers would not do: threads
/// share one, and processes in different PID namespaces may have the same.
pub(crate) fn temporary_name(path: &Path) -> io::Result<PathBuf> {
    let mut random = [0; 8];
    getrandom(&mut random, GetRandomFlags::empty())?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let random = u64::from_ne_bytes(random);
    Ok(path.with_file_name(format!(".{name}.{random:016x}.tmp")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::thread;

    use super::*;

    #[test]
    fn a_new_file_is_whole_and_readable_by_all() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("hostid");
        write_file(&path, "text\n", Existing::Keep).expect("a new file");
        assert_eq!(fs::read_to_string(&path).expect("a file"), "text\n");
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1);
    }

    #[test]
    fn an_existing_file_is_kept_or_replaced_as_asked() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("hostid");
        fs::write(&path, "old").expect("a file");
        let error = write_file(&path, "new", Existing::Keep).expect_err("it exists");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).expect("a file"), "old");
        write_file(&path, "new", Existing::Replace).expect("replaced");
        assert_eq!(fs::read_to_string(&path).expect("a file"), "new");
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1);
    }

    #[test]
    fn of_many_writers_at_once_one_wins_and_its_file_stays_as_it_was_written() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("hostid");
        let texts: Vec<String> = (0..8).map(|writer| format!("{writer}\n")).collect();
        let path = &path;
        let results: Vec<_> = thread::scope(|scope| {
            let writers: Vec<_> = texts
                .iter()
                .map(|text| scope.spawn(move || write_file(path, text, Existing::Keep)))
                .collect();
            let writers = writers.into_iter();
            writers
                .map(|writer| writer.join().expect("no panic"))
                .collect()
        });
        let won: Vec<_> = (0..8).filter(|&writer| results[writer].is_ok()).collect();
        assert_eq!(won.len(), 1, "{results:?}");
        assert_eq!(fs::read_to_string(path).expect("a file"), texts[won[0]]);
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1);
    }
}
