//! How the map of a volume stands.

use nvme_sysfs::{Namespace, Tree};

use super::carrier::carried_bytes;
use crate::host::dm::{Map, MapPath, PathState};

/// How a map stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapState {
    /// There is none.
    None,
    /// It lets I/O fail.
    LetGo,
    /// Somebody began to let it go, and its I/O does not fail yet.
    LettingGo,
    /// It would let I/O fail, and nobody let it go.
    Unqueued,
    /// It keeps I/O from disks that could take it, or was left half changed.
    Behind,
    /// I/O has failed on each of its disks, and all of them are well.
    Failed,
    /// It waits for a path, and keeps a processor busy with that.
    Spinning,
    /// It would send I/O to a disk that is not reached, where a controller keeps it.
    Exposed,
    /// There is nothing to do about it.
    Right,
}

impl MapState {
    /// `usable` may stand below it, and carry `size_bytes` at most; `keeps` tells whether a controller would keep what is
    /// sent to a disk that is not reached.
    pub(super) fn of(
        map: &Map,
        tree: &Tree,
        (usable, size_bytes): (&[&Namespace], u64),
        keeps: impl Fn() -> bool,
    ) -> MapState {
        if map.was_let_go() {
            return MapState::LetGo;
        }
        if map.is_let_go {
            return MapState::LettingGo;
        }
        if map.has_lost_its_queue() {
            return MapState::Unqueued;
        }
        let path_of = |disk: &&Namespace| disk.dev.and_then(|dev| map.find_path(dev));
        let same = usable.iter().filter_map(path_of).count() == usable.len()
            && map.paths.len() == usable.len()
            && map.size_bytes / 512 == carried_bytes(usable, size_bytes) / 512;
        let failed = |path: &MapPath| path.state == Some(PathState::Failed);
        // One that hands errors up would hold nothing: it was left so by a call that was cut off.
        let is_left_halfway = map.has_inactive_table || map.passes_errors() && !map.suspended;
        let may_send = || map.io.is_none() || map.usable_paths().next().is_some();
        match (usable.is_empty(), map.suspended) {
            _ if is_left_halfway => MapState::Behind,
            (false, true) => MapState::Behind,
            (false, false) if !same => MapState::Behind,
            (false, false) if map.paths.iter().all(failed) => MapState::Failed,
            (false, false) if map.paths.iter().any(failed) => MapState::Behind,
            (true, false) if has_lost_all(map, tree) => MapState::Spinning,
            (true, false) if keeps() && may_send() => MapState::Exposed,
            _ => MapState::Right,
        }
    }
}

/// Whether every disk of a map is gone, so that no I/O waits below it.
fn has_lost_all(map: &Map, tree: &Tree) -> bool {
    let is_gone = |path: &MapPath| tree.find_namespace_by_dev(path.dev).is_none();
    !map.paths.is_empty() && map.paths.iter().all(is_gone)
}
