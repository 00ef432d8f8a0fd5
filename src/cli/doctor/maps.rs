//! The device-mapper maps of the volumes, and what could end their holds.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::{Check, Status, chain};
use crate::cli::state_dir::Kept;
use crate::host::dm::{Map, read_maps};
use crate::volume::Surveyed;

/// A parameter of dm-multipath that lets every map go after so many seconds without a path.
const TIMEOUT: &str = "sys/module/dm_multipath/parameters/queue_if_no_path_timeout_secs";

/// Every map, and the parameter. That a map is nobody's can be told where all volumes are known.
pub(super) fn check(root: &Path, volumes: &Kept<Surveyed>) -> Vec<Check> {
    let mut checks = match read_maps(root) {
        Ok(maps) if maps.is_empty() => vec![Check::ok(NAME, "there are none")],
        Ok(maps) => maps
            .iter()
            .map(|map| check_map(map, volumes).about(map.id.name()))
            .collect(),
        Err(error) => vec![Check::bad(
            NAME,
            Status::Unknown,
            format!("the maps cannot be read: {}", chain(&error)),
            "run as root, in a container with the host's /dev",
        )],
    };
    checks.extend(check_timeout(root).map(|check| check.about("timeout")));
    checks
}

const NAME: &str = "maps";
const RELEASE: &str = "check the target, and that the node plugin runs; `nvmeof-csi release` lets go of what waits, and it is lost then";

fn check_map(map: &Map, volumes: &Kept<Surveyed>) -> Check {
    let name = format!("{} ({})", map.disk, map.id.name());
    if map.was_let_go() {
        return Check::bad(
            NAME,
            Status::Fail,
            format!("{name} was let go: its I/O fails"),
            "end what uses the volume; the plugin then mounts it anew",
        );
    }
    let is_its = |volume: &Surveyed| volume.map() == Some(map.id);
    if volumes.unknown.is_empty() && !volumes.all.iter().any(is_its) {
        return Check::bad(
            NAME,
            Status::Warn,
            format!("{name} belongs to no volume that is staged"),
            "name kubelet's directory with --kubelet-dir or the plugin's with --state-dir; if neither has it, and nothing uses the map, `dmsetup remove` it",
        );
    }
    if map.is_let_go {
        return Check::bad(
            NAME,
            Status::Warn,
            format!("{name} is being let go, and its I/O does not fail yet"),
            "check that the node plugin runs, which goes on with it; or run `nvmeof-csi release`",
        );
    }
    if map.has_lost_its_queue() {
        return Check::bad(
            NAME,
            Status::Fail,
            format!("{name} holds nothing: a suspend of it was cut off"),
            "check that the node plugin runs: it lets the map queue again",
        );
    }
    if map.suspended {
        return Check::bad(
            NAME,
            Status::Warn,
            format!("{name} is held: its I/O waits until the node plugin proves a path"),
            RELEASE,
        );
    }
    if map.usable_paths().next().is_none() {
        return Check::bad(
            NAME,
            Status::Warn,
            format!(
                "{name} has no path and is not suspended: its I/O waits, and keeps a processor busy"
            ),
            RELEASE,
        );
    }
    Check::ok(NAME, format!("{name} has a path"))
}

fn check_timeout(root: &Path) -> Option<Check> {
    let path = root.join(TIMEOUT);
    match fs::read_to_string(&path) {
        Ok(text) if text.trim() == "0" => None,
        Ok(text) => Some(Check::bad(
            NAME,
            Status::Fail,
            format!(
                "dm_multipath.queue_if_no_path_timeout_secs is {}: every hold ends after that time",
                text.trim()
            ),
            format!(
                "write 0 to {}, and remove the option of the module",
                path.display()
            ),
        )),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => Some(Check::bad(
            NAME,
            Status::Unknown,
            format!("{} cannot be read: {error}", path.display()),
            "run as root",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_that_would_end_every_hold_is_told() {
        let root = tempfile::tempdir().expect("a directory");
        assert_eq!(check_timeout(root.path()), None);
        let path = root.path().join(TIMEOUT);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, "0\n").expect("a file");
        assert_eq!(check_timeout(root.path()), None);
        fs::write(&path, "60\n").expect("a file");
        let check = check_timeout(root.path()).expect("a finding");
        assert_eq!(check.status, Status::Fail);
        assert!(check.finding.contains("is 60"), "{check:?}");
    }
}
