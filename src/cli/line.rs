//! Lines for a terminal.
//!
//! Invariant: what a target or a file put into a text cannot steer the terminal, nor look like a
//! line of ours. Names come from targets: the specification asks for UTF-8, nothing enforces it.

use std::fmt;
use std::io::{self, Write};

/// Writes one line with its line break; control characters within it are spelt out.
pub(crate) fn write_line(
    out: &mut (impl Write + ?Sized),
    line: fmt::Arguments<'_>,
) -> io::Result<()> {
    writeln!(out, "{}", spell_out(&line.to_string()))
}

fn spell_out(text: &str) -> String {
    let mut spelt = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            spelt.extend(character.escape_default());
        } else {
            spelt.push(character);
        }
    }
    spelt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_spelt_out_and_nothing_else_is() {
        assert_eq!(
            spell_out("a\u{1b}[2J\n\r\t\u{9b}31m"),
            "a\\u{1b}[2J\\n\\r\\t\\u{9b}31m"
        );
        assert_eq!(spell_out("volume-é \"1\" \\"), "volume-é \"1\" \\");
    }
}
