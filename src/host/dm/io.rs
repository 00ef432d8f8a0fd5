//! What a map has done with its I/O: `/sys/block/dm-N/stat`.
//!
//! Format (Documentation/block/stat.rst): numbers, of which the 1st, 5th, 12th and 16th count the reads, writes, discards and
//! flushes that were completed, and the 9th is how many are under way. A kernel without discards or flushes there ends
//! before. A request counts as under way while it waits in the map for a path; a suspend that takes it back counts it as
//! completed (`__dm_io_complete` in drivers/md/dm.c), and it is under way again after the resume.

/// I/O that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapIo {
    /// How many requests; not zero.
    pub in_flight: u64,
    /// How many were completed since the map was made, whether well or not.
    pub completed: u64,
}

/// Places of the counts of completed requests, and of those under way.
const COMPLETED: [usize; 4] = [0, 4, 11, 15];
const IN_FLIGHT: usize = 8;

/// `Ok(None)` where nothing is under way.
pub(super) fn parse_stat(text: &str) -> Result<Option<MapIo>, std::num::ParseIntError> {
    let numbers: Vec<u64> = text
        .split_ascii_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let number = |place: usize| numbers.get(place).copied().unwrap_or_default();
    let completed = COMPLETED.map(number).into_iter().fold(0, u64::wrapping_add);
    let in_flight = number(IN_FLIGHT);
    Ok((in_flight > 0).then_some(MapIo {
        in_flight,
        completed,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_completed_is_counted_whatever_it_was() {
        let busy = "  5 1 40 9  7 2 56 8  3 12 99  11 0 88 4  13 6\n";
        let io = MapIo {
            in_flight: 3,
            completed: 5 + 7 + 11 + 13,
        };
        assert_eq!(parse_stat(busy), Ok(Some(io)));
    }

    #[test]
    fn a_map_without_io_and_an_older_or_empty_line_have_none() {
        for text in [
            "5 1 40 9 7 2 56 8 0 12 99 11 0 88 4 13 6",
            "5 1 40 9 7 2",
            "",
        ] {
            assert_eq!(parse_stat(text), Ok(None), "{text}");
        }
        let old = "5 1 40 9 7 2 56 8 1 12 99";
        let completed = parse_stat(old).expect("numbers").map(|io| io.completed);
        assert_eq!(completed, Some(12));
    }

    #[test]
    fn garbage_is_an_error() {
        assert!(parse_stat("5 1 many").is_err());
    }
}
