//! The name of a volume as the CSI knows it.
//!
//! Invariant: a [`VolumeId`] is one component of a path, so that a record can be kept under it.

use std::fmt;
use std::str::FromStr;

use nvme_sysfs::Nqn;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// `volume_id` of the CSI. The specification allows a string field 128 bytes unless it says otherwise; csi-driver-nvmf
/// calls a volume by its NQN, which may have more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VolumeId(String);

/// Why a text is not the name of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseVolumeIdError {
    /// There is no text.
    #[error("volume id is empty")]
    Empty,
    /// Longer than [`VolumeId::MAX_LEN`].
    #[error(
        "volume id has {length} bytes, at most {} are allowed",
        VolumeId::MAX_LEN
    )]
    TooLong {
        /// Bytes found.
        length: usize,
    },
    /// A slash or a control character.
    #[error("volume id {text:?} has {found:?}: slash and control characters are not allowed")]
    Character {
        /// The refused text.
        text: String,
        /// The character.
        found: char,
    },
    /// `.` or `..`, which name directories.
    #[error("volume id {text:?} is the name of a directory")]
    Dots {
        /// The refused text.
        text: String,
    },
}

impl VolumeId {
    /// Most bytes of a name: those of an NQN, and less than a name in a directory may have (255).
    pub const MAX_LEN: usize = Nqn::MAX_LEN;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for VolumeId {
    type Error = ParseVolumeIdError;

    fn try_from(text: String) -> Result<VolumeId, ParseVolumeIdError> {
        if text.is_empty() {
            return Err(ParseVolumeIdError::Empty);
        }
        if text.len() > VolumeId::MAX_LEN {
            let length = text.len();
            return Err(ParseVolumeIdError::TooLong { length });
        }
        if let Some(found) = text.chars().find(|c| *c == '/' || c.is_control()) {
            return Err(ParseVolumeIdError::Character { text, found });
        }
        if matches!(text.as_str(), "." | "..") {
            return Err(ParseVolumeIdError::Dots { text });
        }
        Ok(VolumeId(text))
    }
}

impl FromStr for VolumeId {
    type Err = ParseVolumeIdError;

    fn from_str(text: &str) -> Result<VolumeId, ParseVolumeIdError> {
        VolumeId::try_from(text.to_owned())
    }
}

impl From<VolumeId> for String {
    fn from(id: VolumeId) -> String {
        id.0
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_provisioners_give_are_taken_as_they_are() {
        for text in [
            "pvc-0f01fb42-9f7f-4856-b0b3-51e60b8de349",
            "...",
            "a b",
            "volumé",
        ] {
            assert_eq!(text.parse::<VolumeId>().expect(text).as_str(), text);
        }
        assert!("x".repeat(VolumeId::MAX_LEN).parse::<VolumeId>().is_ok());
    }

    #[test]
    fn what_is_no_single_component_of_a_path_is_refused() {
        for text in ["", ".", "..", "a/b", "/", "a\nb", "a\0b"] {
            assert!(text.parse::<VolumeId>().is_err(), "{text:?}");
        }
        assert_eq!(
            "x".repeat(224).parse::<VolumeId>(),
            Err(ParseVolumeIdError::TooLong { length: 224 })
        );
    }
}
