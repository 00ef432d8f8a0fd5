//! One lock per map for all processes of this program: the plugin, the one that takes its place, and `release`.
//!
//! It is a `flock` on the attribute `dm/uuid` of the map's disk, which is there for as long as the map and the same file
//! for whoever sees the sysfs of the machine's own network, as the plugin does; no state directory is needed. The kernel takes it back from a process
//! that ends, and lists who has it in `/proc/locks` (`FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE 0 EOF`).
//!
//! Invariant: nobody waits for it without an end. Whoever has it may be waiting for a target.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, fstat, major, minor, openat, stat};
use rustix::io::Errno;

use super::control::{Control, TABLE_STATUS, describe, flag, is_available};
use super::error::MapError;
use super::id::MapId;

/// Longer than a suspend that gives up and a moment in which errors pass take together.
pub(crate) const LOCK_PATIENCE: Duration = Duration::from_secs(8);
/// How often it is tried.
const AGAIN: Duration = Duration::from_millis(10);

/// Keeps other processes from changing a map until it is dropped.
#[derive(Debug)]
pub(crate) struct MapLock {
    file: File,
}

/// Locks a map, for which it waits so long. One that is not there, or cannot be asked for, needs no lock: nobody changes
/// it.
///
/// # Errors
/// [`MapError::Locked`], or another [`MapError`].
pub(crate) fn lock(
    root: &Path,
    map: MapId,
    patience: Duration,
) -> Result<Option<MapLock>, MapError> {
    let began = Instant::now();
    while let Some(path) = find_attribute(root, map)? {
        let left = patience.saturating_sub(began.elapsed());
        match lock_file(root, map, &path, left)? {
            // It may have been removed and made anew meanwhile: then this is the lock of the old one.
            Some(locked) if !locked.is_of(&path) => {}
            locked => return Ok(locked),
        }
    }
    Ok(None)
}

impl MapLock {
    /// Whether the file that is locked is the one that has this path now.
    fn is_of(&self, path: &Path) -> bool {
        let inode = |stat: rustix::io::Result<rustix::fs::Stat>| stat.ok().map(|stat| stat.st_ino);
        inode(fstat(&self.file)) == inode(stat(path))
    }
}

fn find_attribute(root: &Path, map: MapId) -> Result<Option<PathBuf>, MapError> {
    if !is_available(root) {
        return Ok(None);
    }
    match Control::open(root)?.call::<TABLE_STATUS>(map, None, flag::NOFLUSH, &[]) {
        Ok(answer) => {
            let disk = root.join("sys/dev/block").join(answer.dev().to_string());
            Ok(Some(disk.join("dm/uuid")))
        }
        Err(Errno::NXIO) => Ok(None),
        Err(source) => {
            let call = describe("DM_TABLE_STATUS", map, "");
            Err(MapError::Call { call, source })
        }
    }
}

fn lock_file(
    root: &Path,
    map: MapId,
    path: &Path,
    patience: Duration,
) -> Result<Option<MapLock>, MapError> {
    let failed = |command, source| {
        let call = describe(command, map, &path.to_string_lossy());
        MapError::Call { call, source }
    };
    let file = match openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => File::from(file),
        // It has gone since.
        Err(Errno::NOENT | Errno::NODEV | Errno::NXIO) => return Ok(None),
        Err(source) => return Err(failed("openat", source)),
    };
    let began = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Some(MapLock { file })),
            Err(Errno::WOULDBLOCK) if began.elapsed() < patience => thread::park_timeout(AGAIN),
            Err(Errno::WOULDBLOCK) => {
                let holder = find_holder(root, &file);
                return Err(MapError::Locked { map, holder });
            }
            Err(Errno::INTR) => {}
            Err(source) => return Err(failed("flock", source)),
        }
    }
}

/// The process that has a file locked, as far as this one may know.
fn find_holder(root: &Path, file: &File) -> Option<u32> {
    let stat = fstat(file).ok()?;
    let (major, minor) = (major(stat.st_dev), minor(stat.st_dev));
    let place = format!("{major:02x}:{minor:02x}:{}", stat.st_ino);
    let locks = std::fs::read_to_string(root.join("proc/locks")).ok()?;
    parse_holder(&locks, &place)
}

fn parse_holder(locks: &str, place: &str) -> Option<u32> {
    locks.lines().find_map(|line| {
        // Somebody who waits for it has a line as well: `1: -> FLOCK ...`.
        let mut words = line.split_ascii_whitespace().skip(1);
        let is_held = words.next() == Some("FLOCK");
        let (_advisory, _write) = (words.next(), words.next());
        let holder = words.next()?.parse().ok()?;
        (is_held && words.next() == Some(place)).then_some(holder)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCKS: &str = "1: POSIX  ADVISORY  WRITE 7 00:16:5017 0 EOF\n\
                         2: OFDLCK ADVISORY  READ -1 fe:00:5808179 203 203\n\
                         3: FLOCK  ADVISORY  WRITE 17992 00:16:5017 0 EOF\n\
                         3: -> FLOCK  ADVISORY  WRITE 9 00:16:5018 0 EOF\n";

    #[test]
    fn the_holder_of_a_lock_is_found_by_its_file() {
        assert_eq!(parse_holder(LOCKS, "00:16:5017"), Some(17992));
        assert_eq!(parse_holder(LOCKS, "00:16:5018"), None);
        for garbage in ["", "1:", "1: FLOCK ADVISORY WRITE x 00:16:5017"] {
            assert_eq!(parse_holder(garbage, "00:16:5017"), None);
        }
    }

    #[test]
    fn a_map_that_is_locked_is_refused_with_the_process_that_has_it_until_that_lets_go() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("uuid");
        std::fs::write(&path, "").expect("a file");
        let map = MapId::of_volume("csi.example", "a");
        let lock = || lock_file(Path::new("/"), map, &path, Duration::ZERO);
        let held = lock().expect("free").expect("a lock");
        let error = lock().expect_err("locked");
        let own = std::process::id();
        let said = format!("process {own} is changing the map {map}");
        assert_eq!(error.to_string(), said);
        drop(held);
        assert!(lock().expect("free again").is_some());
    }

    #[test]
    fn a_map_that_is_not_there_needs_no_lock() {
        let root = tempfile::tempdir().expect("a directory");
        let map = MapId::of_volume("csi.example", "a");
        let locked = lock(root.path(), map, Duration::ZERO);
        assert!(locked.expect("no device-mapper").is_none());
        let gone = root.path().join("uuid");
        let gone = lock_file(root.path(), map, &gone, Duration::ZERO);
        assert!(gone.expect("no such map").is_none());
    }
}
