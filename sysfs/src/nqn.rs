//! NVMe qualified names: of subsystems (`subsysnqn`), hosts (`hostnqn`) and the discovery service.
//!
//! Invariant: a [`Nqn`] can be put into a connect string and into a path without changing the meaning of either.

use std::fmt;
use std::str::FromStr;

use crate::identity::parse_uuid_bytes;

const DISCOVERY: &str = "nqn.2014-08.org.nvmexpress.discovery";
const UUID_PREFIX: &str = "nqn.2014-08.org.nvmexpress:uuid:";

/// A checked NVMe qualified name.
///
/// The rules are those of the NVMe base specification ("NVMe Qualified Names") where the name starts with `nqn.`;
/// other names are allowed, because the Linux target has them. In every name the characters that would end an
/// option of `/dev/nvme-fabrics` (comma, line break), white space, control characters and `/` are refused.
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
    /// A comma, slash, white space or control character.
    #[error(
        "nqn {text:?} has {found:?} at byte {offset}: comma, slash, white space and control characters are not allowed"
    )]
    Character {
        /// The refused text.
        text: String,
        /// The character.
        found: char,
        /// Where it stands.
        offset: usize,
    },
    /// It starts with `nqn.` and does not go on with a year, a month and a dot.
    #[error("nqn {text:?} must go on with YYYY-MM and a dot after \"nqn.\"")]
    Date {
        /// The refused text.
        text: String,
    },
    /// Nothing stands after the date.
    #[error("nqn {text:?} names no authority after its date")]
    Authority {
        /// The refused text.
        text: String,
    },
    /// The UUID form without a UUID.
    #[error("nqn {text:?} must end in a uuid after {UUID_PREFIX:?}")]
    Uuid {
        /// The refused text.
        text: String,
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
    if let Some((offset, found)) = text.char_indices().find(|(_, c)| is_refused(*c)) {
        return Err(ParseNqnError::Character {
            text: text.to_owned(),
            found,
            offset,
        });
    }
    match text.strip_prefix("nqn.") {
        Some(rest) => check_dated(text, rest),
        None => Ok(()),
    }
}

fn is_refused(c: char) -> bool {
    matches!(c, ',' | '/') || c.is_whitespace() || c.is_control()
}

fn check_dated(text: &str, rest: &str) -> Result<(), ParseNqnError> {
    let Some(authority) = after_date(rest) else {
        return Err(ParseNqnError::Date {
            text: text.to_owned(),
        });
    };
    if authority.is_empty() {
        return Err(ParseNqnError::Authority {
            text: text.to_owned(),
        });
    }
    match text.strip_prefix(UUID_PREFIX) {
        Some(uuid) if parse_uuid_bytes(uuid).is_none() => Err(ParseNqnError::Uuid {
            text: text.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// What follows `YYYY-MM.`, if that stands at the start.
fn after_date(rest: &str) -> Option<&str> {
    let (date, authority) = rest.split_once('.')?;
    let (year, month) = date.split_once('-')?;
    let digits =
        |part: &str, length| part.len() == length && part.bytes().all(|b| b.is_ascii_digit());
    let valid_month = digits(month, 2) && ("01"..="12").contains(&month);
    (digits(year, 4) && valid_month).then_some(authority)
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
        for found in [
            ',', '\n', '\r', '\0', ' ', '\t', '/', '\u{a0}', '\u{7f}', '\u{85}',
        ] {
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
    fn a_name_of_the_dated_form_needs_a_real_month_and_an_authority() {
        for text in [
            "nqn.",
            "nqn.2024",
            "nqn.2024-13.a",
            "nqn.2024-00.a",
            "nqn.24-01.a",
            "nqn.2024-1.a",
            "nqn.2014.08.org.nvmexpress:8086",
            "nqn.\u{0662}024-01.a",
            "nqn.2024-01",
        ] {
            assert!(
                matches!(text.parse::<Nqn>(), Err(ParseNqnError::Date { .. })),
                "{text}"
            );
        }
        assert!(matches!(
            "nqn.2024-01.".parse::<Nqn>(),
            Err(ParseNqnError::Authority { .. })
        ));
    }

    #[test]
    fn the_uuid_form_needs_a_uuid() {
        for uuid in [
            "",
            "0f01fb42",
            "0f01fb42-9f7f-4856-b0b3-51e60b8de34",
            "0f01fb42-9f7f-4856-b0b3-51e60b8de349x",
        ] {
            let text = format!("{UUID_PREFIX}{uuid}");
            assert_eq!(
                text.parse::<Nqn>(),
                Err(ParseNqnError::Uuid { text: text.clone() })
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic_and_what_it_takes_is_safe_in_an_option(text in "\\PC{0,40}|.{0,240}") {
            if let Ok(nqn) = text.parse::<Nqn>() {
                prop_assert_eq!(nqn.to_string(), text.clone());
                prop_assert!(text.len() <= Nqn::MAX_LEN);
                prop_assert!(!text.contains([',', '\n', '/', ' ', '\0']));
            }
        }

        #[test]
        fn a_well_formed_name_is_taken(month in 1..=12, year in 1970..2100, name in "[a-z][a-z0-9.:-]{0,60}") {
            let text = format!("nqn.{year}-{month:02}.com.{name}");
            prop_assert_eq!(text.parse::<Nqn>().map(|nqn| nqn.to_string()), Ok(text));
        }
    }
}
