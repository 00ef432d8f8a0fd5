//! The lines that the guest writes to its second serial port (pure).
//!
//! Lines that begin with `lab:` are for the lab; every other line is the guest's own output.

/// Sent to the caller of a boot in place of a guest's line: the boot was repeated (see [`crate::qemu`]), and all lines
/// before this one come from a guest that is gone.
pub const AGAIN: &str = "lab:again";

/// One line of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line<'a> {
    /// `lab:exit N`: the guest is done.
    Exit(i32),
    /// `lab:file PATH`: the content lines of a file follow.
    FileBegin(&'a str),
    /// `lab:data HEX`: a piece of that file's content.
    FileData(Vec<u8>),
    /// `lab:end`: the file is complete.
    FileEnd,
    /// Anything else.
    Text(&'a str),
}

impl<'a> Line<'a> {
    /// Reads a line without its line break. A `lab:` line that is not well formed is text, and so gets seen.
    #[must_use]
    pub fn parse(line: &'a str) -> Self {
        Self::parse_ours(line).unwrap_or(Self::Text(line))
    }

    fn parse_ours(line: &'a str) -> Option<Self> {
        let (word, rest) = line
            .strip_prefix("lab:")?
            .split_once(' ')
            .unwrap_or((&line[4..], ""));
        match word {
            "exit" => Some(Self::Exit(rest.parse().ok()?)),
            "file" if !rest.is_empty() => Some(Self::FileBegin(rest)),
            "data" => Some(Self::FileData(parse_hexadecimal(rest)?)),
            "end" if rest.is_empty() => Some(Self::FileEnd),
            _ => None,
        }
    }
}

fn parse_hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits = text
        .chars()
        .map(|digit| u8::try_from(digit.to_digit(16)?).ok());
    let digits = digits.collect::<Option<Vec<_>>>()?;
    let (pairs, []) = digits.as_chunks::<2>() else {
        return None;
    };
    Some(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_lines_are_read() {
        assert_eq!(
            Line::parse("lab:file sysfs/one path.tree"),
            Line::FileBegin("sysfs/one path.tree")
        );
        assert_eq!(
            Line::parse("lab:data 000aff"),
            Line::FileData(vec![0, 10, 255])
        );
        assert_eq!(Line::parse("lab:end"), Line::FileEnd);
    }

    #[test]
    fn the_exit_line_carries_the_status() {
        assert_eq!(Line::parse("lab:exit 0"), Line::Exit(0));
        assert_eq!(Line::parse("lab:exit -7"), Line::Exit(-7));
    }

    #[test]
    fn a_line_that_is_not_well_formed_is_text() {
        for line in [
            "lab:exit",
            "lab:exit x",
            "lab:file",
            "lab:data 0",
            "lab:data 0g",
            "lab:data +1",
            "lab:end x",
            "lab:",
            "lab:what",
            "test ok",
        ] {
            assert_eq!(Line::parse(line), Line::Text(line));
        }
    }
}
