//! The escapes of the tree format: any bytes as one line of printable ASCII.
//!
//! Invariant: `unescape(&escape(bytes))` gives the bytes back, and the escaped text holds neither tab nor line break.

use std::fmt::Write as _;

/// Bytes as one line of printable ASCII.
pub(super) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(*byte)),
            other => write!(text, "\\x{other:02x}").expect("a String takes every write"),
        }
    }
    text
}

/// The bytes that [`escape`] was given; None for an unknown or incomplete escape.
pub(super) fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let kind = escaped.chars().next()?;
        rest = &escaped[kind.len_utf8()..];
        match kind {
            'n' => bytes.push(b'\n'),
            't' => bytes.push(b'\t'),
            '\\' => bytes.push(b'\\'),
            'x' => {
                let digits = rest
                    .get(..2)
                    .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &rest[2..];
            }
            _ => return None,
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives() {
        let all: Vec<u8> = (0..=255).collect();
        let text = escape(&all);
        assert!(
            text.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            "{text}"
        );
        assert_eq!(unescape(&text), Some(all));
    }

    #[test]
    fn incomplete_and_unknown_escapes_are_refused() {
        for text in ["\\", "\\x", "\\x1", "\\xg0", "\\x+1", "\\q", "\\é"] {
            assert_eq!(unescape(text), None, "{text}");
        }
    }
}
