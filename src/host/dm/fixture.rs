//! Maps of the captured trees, for tests.

use std::fs;
use std::path::{Path, PathBuf};

use super::status::{parse_status, parse_table};
use super::{Map, OnPathLoss, read_maps};

/// The maps below `root`, into which the capture of this name was unpacked, with what device-mapper
/// said of the only one: a line with its table, and one with its status.
pub(crate) fn captured_maps(root: &Path, capture: &str) -> Vec<Map> {
    let mut maps = read_maps(root).expect("readable maps");
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/dm")
        .join(format!("{capture}.txt"));
    let Some(map) = maps.first_mut() else {
        return maps;
    };
    let text = fs::read_to_string(file).expect("what device-mapper said");
    let parameters = |line: &str| {
        let (_, parameters) = line.split_once(" multipath ").expect("a multipath target");
        parameters.to_owned()
    };
    let mut lines = text.lines().map(parameters);
    let table = lines.next().expect("a table");
    let status = lines.next().expect("a status");
    map.on_path_loss = Some(match map.suspended {
        // Its table does not show what it has.
        true => OnPathLoss::Queue,
        false => parse_table(&table).expect("a table"),
    });
    map.paths = parse_status(&status).expect("a status");
    maps
}
