//! What device-mapper says of a `multipath` target: its live table and its status.
//!
//! Format of the table: see [`MapTable`](super::MapTable). Format of the status
//! (`multipath_status` in drivers/md/dm-mpath.c): number of feature words and the words, number of
//! hardware handler words and the words, number of groups, group in use, then for each group its
//! state (`A`, `E` or `D`), number of selector words and the words, number of paths, number of words
//! per path, and for each path its device number, `A` or `F`, number of failures, and its words.

use nvme_sysfs::DevT;
use thiserror::Error;

/// What becomes of I/O that finds no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnPathLoss {
    /// It waits (`queue_if_no_path`).
    Queue,
    /// It fails.
    Fail,
    /// No path is ever taken for lost: the error of a request reaches its caller (target `linear`).
    Pass,
}

/// One path of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapPath {
    /// Number of the disk.
    pub dev: DevT,
    /// Whether I/O is sent there; unknown where the control device cannot be asked.
    pub state: Option<PathState>,
}

/// Whether a map sends I/O to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathState {
    /// Yes.
    Active,
    /// An I/O failed there, and nothing is sent until somebody says that it works again.
    Failed,
}

/// A text that is not the table or status of a target of ours.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is not the {what} of a target of ours")]
pub struct ParseStatusError {
    /// Which of both.
    what: &'static str,
    /// The text.
    text: String,
}

/// What a live table says about I/O that finds no path.
pub(super) fn parse_table(text: &str) -> Result<OnPathLoss, ParseStatusError> {
    let error = || ParseStatusError {
        what: "table",
        text: text.to_owned(),
    };
    let features = counted(&mut text.split_ascii_whitespace()).ok_or_else(error)?;
    Ok(match features.contains(&"queue_if_no_path") {
        true => OnPathLoss::Queue,
        false => OnPathLoss::Fail,
    })
}

/// The disk of a `linear` target, by its live table: its number, and where on it the map begins.
pub(super) fn parse_linear(text: &str) -> Result<MapPath, ParseStatusError> {
    let error = || ParseStatusError {
        what: "table",
        text: text.to_owned(),
    };
    let dev = text.split_ascii_whitespace().next().ok_or_else(error)?;
    let dev = dev.parse().map_err(|_| error())?;
    Ok(MapPath { dev, state: None })
}

/// The paths of a status.
pub(super) fn parse_status(text: &str) -> Result<Vec<MapPath>, ParseStatusError> {
    let error = || ParseStatusError {
        what: "status",
        text: text.to_owned(),
    };
    paths(&mut text.split_ascii_whitespace()).ok_or_else(error)
}

fn paths<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Vec<MapPath>> {
    let _features = counted(words)?;
    let _handler = counted(words)?;
    let groups = number(words)?;
    let _in_use = number(words)?;
    let mut found = Vec::new();
    for _ in 0..groups {
        let _state = words.next()?;
        let _selector = counted(words)?;
        let paths = number(words)?;
        let words_per_path = number(words)?;
        for _ in 0..paths {
            let dev = words.next()?.parse().ok()?;
            let state = match words.next()? {
                "A" => PathState::Active,
                "F" => PathState::Failed,
                _ => return None,
            };
            let _failures = number(words)?;
            for _ in 0..words_per_path {
                words.next()?;
            }
            let state = Some(state);
            found.push(MapPath { dev, state });
        }
    }
    Some(found)
}

/// A number, and as many words.
fn counted<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Vec<&'a str>> {
    let count = number(words)?;
    let taken: Vec<&str> = words.take(count).collect();
    (taken.len() == count).then_some(taken)
}

fn number<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<usize> {
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(dev: &str, state: PathState) -> MapPath {
        MapPath {
            dev: dev.parse().expect("a number"),
            state: Some(state),
        }
    }

    #[test]
    fn a_table_says_whether_io_waits() {
        let queue = "3 queue_if_no_path queue_mode bio 0 1 1 round-robin 0 1 1 259:1 1 ";
        assert_eq!(parse_table(queue), Ok(OnPathLoss::Queue));
        let fail = "2 queue_mode bio 0 1 1 round-robin 0 1 1 259:1 1 ";
        assert_eq!(parse_table(fail), Ok(OnPathLoss::Fail));
        assert_eq!(parse_table("0 0 0 0 "), Ok(OnPathLoss::Fail));
    }

    #[test]
    fn a_status_says_where_io_goes() {
        let one = parse_status("2 0 0 0 1 1 A 0 1 0 259:1 A 0 ");
        assert_eq!(one, Ok(vec![path("259:1", PathState::Active)]));
        let two = parse_status("2 0 0 0 2 1 E 0 1 0 259:1 F 3 A 0 1 0 259:4 A 0 ");
        let failed = path("259:1", PathState::Failed);
        assert_eq!(two, Ok(vec![failed, path("259:4", PathState::Active)]));
        assert_eq!(parse_status("2 0 0 0 0 0 "), Ok(Vec::new()));
    }

    #[test]
    fn words_of_other_selectors_are_passed_over() {
        let found = parse_status("2 0 0 1 alua 1 1 A 1 x 1 2 259:1 A 0 5 6 ");
        assert_eq!(found, Ok(vec![path("259:1", PathState::Active)]));
    }

    #[test]
    fn a_linear_table_names_its_disk() {
        let dev = "259:1".parse().expect("a number");
        assert_eq!(parse_linear("259:1 0 "), Ok(MapPath { dev, state: None }));
        for text in ["", "x 0"] {
            assert!(parse_linear(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_breaks_off_is_an_error() {
        for text in [
            "",
            "x",
            "2 0",
            "2 0 0 0 1 1 A 0 1 0 259:1",
            "2 0 0 0 1 1 A 0 1 0 259:1 X 0",
        ] {
            assert!(parse_status(text).is_err(), "{text}");
        }
        assert!(parse_table("3 queue_mode bio").is_err());
    }
}
