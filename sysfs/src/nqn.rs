//! NVMe qualified names: of subsystems (`subsysnqn`), hosts (`hostnqn`) and the discovery service.
//!
//! Invariant: a [`Nqn`] can be put into a connect string and into a path without changing the meaning of either.

use std::fmt;
use std::str::FromStr;

const DISCOVERY: &str = "nqn.2014-08.org.nvmexpress.discovery";

/// A checked NVMe qualified name.
///
/// Names in use keep to the form of the NVMe base specification ("NVMe Qualified Names") or do not: targets are found that
/// leave out the month, the authority or the UUID. Nothing depends on the form, so it is not asked for. Refused are the
/// characters that would end an option of `/dev/nvme-fabrics` (comma, line break and other control characters), `/`, which
/// would end a part of a path (nvmet's directories are called by these names), `.` and `..`, which would be another
/// directory, and blanks at either end, which the kernel's own text cannot be told from.
///
/// The kernel accepts more than this, so text that comes *from* sysfs may not be an `Nqn`; the tree keeps such text
/// beside (see [`crate::Subsystem::nqn_text`]).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nqn(String);

impl Nqn {
    /// Longest name in bytes (NVMe base specification). The kernel's connect string takes one byte less.
    pub const MAX_LEN: usize = 223;

    /// The well-known name of every discovery service.
    #[must_use]
    pub fn discovery() -> Self {
        Self(DISCOVERY.to_owned())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the well-known discovery name. A unique discovery name (TP8013) is not recognised by its text.
    #[must_use]
    pub fn is_discovery(&self) -> bool {
        self.0 == DISCOVERY
    }
}

/// Why a text is not an NVMe qualified name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseNqnError {
    /// There is no text.
    #[error("nqn is empty")]
    Empty,
    /// Longer than [`Nqn::MAX_LEN`].
    #[error("nqn has {length} bytes, at most {} are allowed", Nqn::MAX_LEN)]
    TooLong {
        /// Bytes found.
        length: usize,
    },
    /// `.` or `..`, which name directories.
    #[error("nqn {text:?} is the name of a directory")]
    Dots {
        /// The refused text.
        text: String,
    },
    /// A comma, a slash, a control character, or a blank at either end.
    #[error(
        "nqn {text:?} has {found:?} at byte {offset}: comma, slash, control characters and outer blanks are not allowed"
    )]
    Character {
        /// The refused text.
        text: String,
        /// The character.
        found: char,
        /// Where it stands.
        offset: usize,
    },
}

impl FromStr for Nqn {
    type Err = ParseNqnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check(text)?;
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Nqn {
    type Error = ParseNqnError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        check(&text)?;
        Ok(Self(text))
    }
}

impl fmt::Display for Nqn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Nqn {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

fn check(text: &str) -> Result<(), ParseNqnError> {
    if text.is_empty() {
        return Err(ParseNqnError::Empty);
    }
    if text.len() > Nqn::MAX_LEN {
        return Err(ParseNqnError::TooLong { length: text.len() });
    }
    if matches!(text, "." | "..") {
        let text = text.to_owned();
        return Err(ParseNqnError::Dots { text });
    }
    match text.char_indices().find(|at| is_refused(text, *at)) {
        Some((offset, found)) => Err(ParseNqnError::Character {
            text: text.to_owned(),
            found,
            offset,
        }),
        None => Ok(()),
    }
}

fn is_refused(text: &str, (offset, found): (usize, char)) -> bool {
    let is_outer = offset == 0 || offset + found.len_utf8() == text.len();
    matches!(found, ',' | '/') || found.is_control() || is_outer && found.is_whitespace()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_in_use_are_accepted_and_kept_as_they_are() {
        for text in [
            DISCOVERY,
            "nqn.2014-08.org.nvmexpress:uuid:0f01fb42-9f7f-4856-b0b3-51e60b8de349",
            "nqn.2019-08.org.qemu:nvme-subsys0",
            "nqn.1992-08.com.example:sn.d41d8cd98f00b204:subsystem.vol1",
            "blktests-subsystem-1",
            "nqn.2024-12.com.ex\u{e4}mple:vol",
            "nqn.2137.csi.tns:pvc-1",
            "nqn.test-io",
            "nqn.2014-08.org.nvmexpress:uuid:host-1",
            "nqn.2014.08.org.nvmexpress:80868086SERIAL  MODEL",
        ] {
            assert_eq!(text.parse::<Nqn>().expect(text).as_str(), text);
        }
        assert!(Nqn::discovery().is_discovery());
        assert!(
            !"testnqn"
                .parse::<Nqn>()
                .expect("short names exist")
                .is_discovery()
        );
    }

    #[test]
    fn the_longest_name_has_223_bytes() {
        let longest = "n".repeat(Nqn::MAX_LEN);
        assert!(longest.parse::<Nqn>().is_ok());
        assert_eq!(
            (longest + "n").parse::<Nqn>(),
            Err(ParseNqnError::TooLong { length: 224 })
        );
        assert_eq!("".parse::<Nqn>(), Err(ParseNqnError::Empty));
    }

    #[test]
    fn a_character_that_ends_an_option_or_a_path_component_is_refused_with_its_place() {
        for found in [',', '\n', '\r', '\0', '\t', '/', '\u{7f}', '\u{85}'] {
            let text = format!("nqn.2024-01.a:b{found}c");
            let error = text.parse::<Nqn>().expect_err("refused");
            assert_eq!(
                error,
                ParseNqnError::Character {
                    text,
                    found,
                    offset: 15
                }
            );
        }
    }

    #[test]
    fn the_names_of_directories_are_refused() {
        for text in [".", ".."] {
            assert_eq!(
                text.parse::<Nqn>(),
                Err(ParseNqnError::Dots {
                    text: text.to_owned()
                })
            );
        }
        assert!("...".parse::<Nqn>().is_ok());
    }

    #[test]
    fn a_blank_is_allowed_within_and_not_at_either_end() {
        assert!("nqn.2024-01.a:b c".parse::<Nqn>().is_ok());
        for (text, place) in [(" nqn.a", 0), ("nqn.a ", 5), ("nqn.a\u{a0}", 5), (" ", 0)] {
            assert!(
                matches!(
                    text.parse::<Nqn>(),
                    Err(ParseNqnError::Character { offset, .. }) if offset == place
                ),
                "{text:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic_and_what_it_takes_is_safe_in_an_option(text in "\\PC{0,40}|.{0,240}") {
            if let Ok(nqn) = text.parse::<Nqn>() {
                prop_assert_eq!(nqn.to_string(), text.clone());
                prop_assert!(text.len() <= Nqn::MAX_LEN);
                prop_assert!(!text.contains([',', '\n', '/', '\0']));
                prop_assert_eq!(text.trim(), &text);
                prop_assert!(text != "." && text != "..");
            }
        }

        #[test]
        fn a_well_formed_name_is_taken(month in 1..=12, year in 1970..2100, name in "[a-z][a-z0-9.:-]{0,60}") {
            let text = format!("nqn.{year}-{month:02}.com.{name}");
            prop_assert_eq!(text.parse::<Nqn>().map(|nqn| nqn.to_string()), Ok(text));
        }
    }
}
