//! How long each case took the last time, so that machines get equal shares and the longest goes first.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kernel_lab::{Suite, place};

use super::machine::Machine;
use crate::case::Case;
use crate::guest;

/// What is expected of a case that has never run here: a row of the table of faults mostly waits.
const OF_A_ROW: Duration = Duration::from_secs(15);
const OF_ANOTHER: Duration = Duration::from_secs(2);

/// By kernel and case, in the host's time.
pub(super) struct Durations {
    known: BTreeMap<String, Duration>,
}

impl Durations {
    /// Those that earlier runs have left in `target/lab/durations`; none where there is no such file.
    pub(super) fn read() -> Durations {
        let text = fs::read_to_string(path()).unwrap_or_default();
        let known = text.lines().filter_map(|line| {
            let (name, milliseconds) = line.split_once(' ')?;
            let took = Duration::from_millis(milliseconds.parse().ok()?);
            Some((name.to_owned(), took.min(guest::CASE_DEADLINE)))
        });
        Durations {
            known: known.collect(),
        }
    }

    /// What is expected of a case.
    pub(super) fn of(&self, suite: Suite, case: &Case) -> Duration {
        let known = self.known.get(&format!("{suite}::{}", case.name)).copied();
        known.unwrap_or(if case.is_row() { OF_A_ROW } else { OF_ANOTHER })
    }

    /// Keeps what the machines took, for the next run. Where it cannot, the next run only shares out less well.
    pub(super) fn learn(&mut self, machines: &[Arc<Machine>]) {
        // Another run may have ended meanwhile.
        self.known = Durations::read().known;
        for machine in machines {
            self.known.extend(machine.times());
        }
        let lines = self.known.iter();
        let lines = lines.map(|(name, took)| format!("{name} {}\n", took.as_millis()));
        if let Err(error) = replace(&lines.collect::<String>()) {
            eprintln!("{}: {error}", path().display());
        }
    }
}

fn replace(text: &str) -> io::Result<()> {
    let new = path().with_extension("new");
    fs::write(&new, text)?;
    fs::rename(new, path())
}

fn path() -> PathBuf {
    place::of("durations")
}
