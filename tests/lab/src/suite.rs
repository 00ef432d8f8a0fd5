//! The three Debian suites whose kernels the project is tested on.
//!
//! Kernels are named by suite because sid moves on; the real release is read from the kernel's modules directory.

use std::env::{self, VarError};
use std::fmt;
use std::str::FromStr;

/// A Debian suite, standing for its current kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Suite {
    /// Debian 12, Linux 6.1.
    Bookworm,
    /// Debian 13, Linux 6.12: the default.
    Trixie,
    /// Debian unstable, Linux 7.2 or newer.
    Sid,
}

/// A word that names no suite.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "unknown kernel {word:?}: it must be bookworm, trixie or sid, or a list of these with commas, or all"
)]
pub struct UnknownSuite {
    /// The word.
    pub word: String,
}

impl Suite {
    /// All suites, oldest kernel first.
    pub const ALL: [Self; 3] = [Self::Bookworm, Self::Trixie, Self::Sid];

    /// The name that Debian's archive and `LAB_KERNELS` use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
            Self::Sid => "sid",
        }
    }

    /// Parses `all` or a list with commas, as in `LAB_KERNELS` and `--kernels`.
    ///
    /// # Errors
    /// [`UnknownSuite`] with the first word that names none, the empty one included.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, UnknownSuite> {
        if text.trim() == "all" {
            return Ok(Self::ALL.to_vec());
        }
        text.split(',').map(|word| word.trim().parse()).collect()
    }

    /// The list that [`Suite::parse_list`] reads.
    #[must_use]
    pub fn list(suites: &[Self]) -> String {
        let names: Vec<_> = suites.iter().map(|suite| suite.as_str()).collect();
        names.join(",")
    }

    /// The suites that `LAB_KERNELS` chooses; trixie alone when it is not set.
    ///
    /// # Errors
    /// [`UnknownSuite`] as in [`Suite::parse_list`].
    pub fn chosen() -> Result<Vec<Self>, UnknownSuite> {
        match env::var("LAB_KERNELS") {
            Ok(text) => Self::parse_list(&text),
            Err(VarError::NotPresent) => Ok(vec![Self::Trixie]),
            Err(VarError::NotUnicode(text)) => Err(UnknownSuite {
                word: text.to_string_lossy().into_owned(),
            }),
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Suite {
    type Err = UnknownSuite;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|suite| suite.as_str() == word)
            .ok_or_else(|| UnknownSuite {
                word: word.to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back() {
        for suite in Suite::ALL {
            assert_eq!(suite.as_str().parse(), Ok(suite));
        }
    }

    #[test]
    fn a_list_keeps_its_order_and_all_means_all() {
        assert_eq!(
            Suite::parse_list("sid, bookworm"),
            Ok(vec![Suite::Sid, Suite::Bookworm])
        );
        assert_eq!(Suite::parse_list("all"), Ok(Suite::ALL.to_vec()));
    }

    #[test]
    fn an_unknown_or_empty_word_is_refused() {
        for text in ["", "buster", "trixie,", "Trixie"] {
            assert!(Suite::parse_list(text).is_err(), "{text:?}");
        }
    }
}
