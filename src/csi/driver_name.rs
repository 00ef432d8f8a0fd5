//! The name of the driver, which is also part of two paths.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A name as GetPluginInfo may answer it: at most 63 bytes, letters and digits at both ends, and
/// between them also dashes and dots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverName(String);

/// Why a text is no name of a driver.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "driver name {text:?} must have 1 to 63 letters, digits, dashes and dots, with a letter or \
     digit at both ends"
)]
pub struct ParseDriverNameError {
    text: String,
}

const MAX_LEN: usize = 63;

impl FromStr for DriverName {
    type Err = ParseDriverNameError;

    fn from_str(text: &str) -> Result<DriverName, ParseDriverNameError> {
        let is_inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
        let ends = [text.bytes().next(), text.bytes().last()];
        let good_ends = ends
            .iter()
            .all(|end| end.is_some_and(|b| b.is_ascii_alphanumeric()));
        if text.len() <= MAX_LEN && good_ends && text.bytes().all(is_inner) {
            Ok(DriverName(text.to_owned()))
        } else {
            let text = text.to_owned();
            Err(ParseDriverNameError { text })
        }
    }
}

impl fmt::Display for DriverName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domain_names_are_taken_and_paths_are_not() {
        for text in [
            "direct.nvmeof.csi",
            "a",
            "rds.csi.srvlab.io",
            &"x".repeat(63),
        ] {
            assert_eq!(text.parse::<DriverName>().expect(text).to_string(), text);
        }
        for text in [
            "",
            ".",
            "-a",
            "a-",
            "a/b",
            "a_b",
            "a b",
            "é",
            &"x".repeat(64),
        ] {
            assert!(text.parse::<DriverName>().is_err(), "{text:?}");
        }
    }
}
