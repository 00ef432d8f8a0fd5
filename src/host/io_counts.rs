//! How much I/O of a disk was done, and how much is under way: `/sys/block/NAME/stat`.
//!
//! Format (Documentation/block/stat.rst): one line of numbers. The first and the fifth are the reads and the writes
//! that are done, the ninth is what is under way; since 4.18 the twelfth is the discards that are done, since 5.5 the
//! sixteenth the flushes.

use std::fs;
use std::io;
use std::path::Path;

/// What a disk has done and is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IoCounts {
    /// Requests that came to their end, well or not.
    pub done: u64,
    /// Requests that are under way in the disk.
    pub under_way: u64,
}

impl IoCounts {
    /// How many requests the disk has ever taken.
    #[must_use]
    pub fn taken(self) -> u64 {
        self.done.saturating_add(self.under_way)
    }

    /// Out of the text of the attribute; `None` of another.
    pub(crate) fn parse(text: &str) -> Option<IoCounts> {
        let words = text.split_ascii_whitespace();
        let numbers: Vec<u64> = words.map(str::parse).collect::<Result<_, _>>().ok()?;
        let done = [0, 4, 11, 15].map(|place| numbers.get(place).copied());
        let [Some(reads), Some(writes), discards, flushes] = done else {
            return None;
        };
        let others = [discards, flushes].into_iter().flatten();
        Some(IoCounts {
            done: others.fold(reads.saturating_add(writes), u64::saturating_add),
            under_way: *numbers.get(8)?,
        })
    }
}

/// The counts of a disk.
///
/// # Errors
/// When the attribute cannot be read, or is none.
pub fn read_io_counts(root: &Path, disk: &str) -> io::Result<IoCounts> {
    let text = fs::read_to_string(root.join("sys/block").join(disk).join("stat"))?;
    IoCounts::parse(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_and_under_way_is_counted_on_every_kernel() {
        let new = "      70        0     1234       11      312        5     2496      120        3      130      140        2        0       16        0        7        9\n";
        let counts = IoCounts::parse(new).expect("counts");
        assert_eq!((counts.done, counts.under_way), (70 + 312 + 2 + 7, 3));
        assert_eq!(counts.taken(), 394);
        let old = "70 0 1234 11 312 5 2496 120 3 130 140";
        let counts = IoCounts::parse(old).expect("counts");
        assert_eq!((counts.done, counts.under_way), (382, 3));
    }

    #[test]
    fn anything_else_is_nothing() {
        for text in ["", "1 2 3", "1 2 3 4 5 6 7 8", "a b c d e f g h i j k"] {
            assert_eq!(IoCounts::parse(text), None, "{text}");
        }
        let root = tempfile::tempdir().expect("a directory");
        read_io_counts(root.path(), "dm-0").expect_err("no such disk");
    }
}
