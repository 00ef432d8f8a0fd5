//! Where node plugins keep what is staged, for verbs that look at their volumes.
//!
//! Invariant: what one plugin keeps and cannot be read hides nothing of what another keeps, and is part of the answer.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::causes::chain;
use crate::volume::record::{Complete, StageRecord};
use crate::volume::survey::read_staged;
use crate::volume::{Surveyed, survey};

/// The options that say where.
#[derive(Debug, Clone, clap::Args)]
pub struct StateDir {
    /// Where a node plugin keeps what is staged, to know its volumes [default: KUBELET_DIR/plugins/*/state, every driver's]
    #[arg(long = "state-dir", value_name = "DIR")]
    path: Option<PathBuf>,

    /// kubelet's directory
    #[arg(
        long = "kubelet-dir",
        value_name = "KUBELET_DIR",
        default_value = "/var/lib/kubelet"
    )]
    kubelet: PathBuf,
}

/// What plugins keep, as far as it can be read.
#[derive(Debug)]
pub(super) struct Kept<T> {
    /// What was read.
    pub(super) all: Vec<T>,
    /// What could not be, with its path; nobody knows what it says.
    pub(super) unknown: Vec<String>,
}

impl StateDir {
    /// Every volume that a plugin keeps here, and how it stands.
    pub(super) fn survey(&self, root: &Path) -> Kept<Surveyed> {
        self.each(|state| survey(root, state))
    }

    /// The record of every volume that a plugin keeps here.
    pub(super) fn records(&self, root: &Path) -> Kept<StageRecord> {
        self.each(|state| read_staged(root, state))
    }

    fn each<T, E: std::error::Error + 'static>(
        &self,
        read: impl Fn(&Path) -> Result<(Vec<T>, Complete), E>,
    ) -> Kept<T> {
        let mut kept = Kept {
            all: Vec::new(),
            unknown: Vec::new(),
        };
        let (states, failures) = match &self.path {
            Some(path) => (vec![path.clone()], Vec::new()),
            None => find_states(&self.kubelet.join("plugins")),
        };
        for error in failures {
            let plugins = self.kubelet.join("plugins");
            let unknown = format!("cannot list {}: {error}", plugins.display());
            kept.unknown.push(unknown);
        }
        for state in states {
            match read(&state) {
                Ok((all, complete)) => {
                    kept.all.extend(all);
                    if complete == Complete::No {
                        let volumes = state.join("volumes");
                        let unknown = format!("a volume in {} cannot be told", volumes.display());
                        kept.unknown.push(unknown);
                    }
                }
                Err(error) => kept
                    .unknown
                    .push(format!("{}: {}", state.display(), chain(&error))),
            }
        }
        kept
    }
}

/// The directories below kubelet's plugins in which this program keeps what is staged, whatever the driver is called; and
/// what could not be listed.
fn find_states(plugins: &Path) -> (Vec<PathBuf>, Vec<io::Error>) {
    match fs::read_dir(plugins) {
        Ok(entries) => states_among(entries.map(|entry| entry.map(|entry| entry.path()))),
        Err(error) if error.kind() == ErrorKind::NotFound => (Vec::new(), Vec::new()),
        Err(error) => (Vec::new(), vec![error]),
    }
}

fn states_among(
    plugins: impl Iterator<Item = io::Result<PathBuf>>,
) -> (Vec<PathBuf>, Vec<io::Error>) {
    let (mut states, mut failures) = (Vec::new(), Vec::new());
    for plugin in plugins {
        let state = match plugin {
            Ok(plugin) => plugin.join("state"),
            Err(error) => {
                failures.push(error);
                continue;
            }
        };
        // Other drivers keep other things there.
        if fs::symlink_metadata(state.join("volumes")).is_ok_and(|it| it.is_dir()) {
            states.push(state);
        }
    }
    states.sort_unstable();
    (states, failures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_driver_of_this_program_is_found_and_no_other() {
        let kubelet = tempfile::tempdir().expect("a directory");
        let plugins = kubelet.path().join("plugins");
        assert!(find_states(&plugins).0.is_empty());
        for below in ["b.csi/state/volumes", "a.csi/state/volumes", "c.csi/state"] {
            fs::create_dir_all(plugins.join(below)).expect("a directory");
        }
        fs::write(plugins.join("file"), "").expect("a file");
        let expected = ["a.csi/state", "b.csi/state"].map(|below| plugins.join(below));
        assert_eq!(find_states(&plugins).0, expected);
    }

    #[test]
    fn an_entry_that_cannot_be_read_hides_no_other() {
        let plugins = tempfile::tempdir().expect("a directory");
        for driver in ["a.csi", "b.csi"] {
            let volumes = plugins.path().join(driver).join("state/volumes");
            fs::create_dir_all(volumes).expect("a directory");
        }
        let entries = [
            Err(io::Error::other("bad entry")),
            Ok(plugins.path().join("b.csi")),
            Err(io::Error::other("bad entry")),
            Ok(plugins.path().join("a.csi")),
        ];
        let (states, failures) = states_among(entries.into_iter());
        let expected = ["a.csi/state", "b.csi/state"].map(|below| plugins.path().join(below));
        assert_eq!(states, expected);
        assert_eq!(failures.len(), 2);
    }
}
