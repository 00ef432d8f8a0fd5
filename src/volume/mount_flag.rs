//! Mount options that a user may ask for.
//!
//! Invariant: a [`MountFlag`] neither endangers data nor changes what is mounted or where; the
//! dangerous ones are refused by name, and so is what is not known to be harmless.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Options that are passed on.
const ALLOWED: [&str; 17] = [
    "ro",
    "rw",
    "noatime",
    "nodiratime",
    "relatime",
    "strictatime",
    "lazytime",
    "nosuid",
    "nodev",
    "noexec",
    "sync",
    "dirsync",
    "nosymfollow",
    "discard",
    "nodiscard",
    "nouuid",
    "inode64",
];

/// One mount option, for example `noatime`, or `context=…` for SELinux.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MountFlag(String);

/// Why a text is not taken as a mount option.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("mount flag {text:?} is not one of the allowed ones: {}, context=…", ALLOWED.join(", "))]
pub struct ParseMountFlagError {
    /// The refused text.
    pub text: String,
}

impl MountFlag {
    /// The option as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for MountFlag {
    type Error = ParseMountFlagError;

    fn try_from(text: String) -> Result<MountFlag, ParseMountFlagError> {
        if ALLOWED.contains(&text.as_str()) || is_context(&text) {
            Ok(MountFlag(text))
        } else {
            Err(ParseMountFlagError { text })
        }
    }
}

impl FromStr for MountFlag {
    type Err = ParseMountFlagError;

    fn from_str(text: &str) -> Result<MountFlag, ParseMountFlagError> {
        MountFlag::try_from(text.to_owned())
    }
}

impl From<MountFlag> for String {
    fn from(flag: MountFlag) -> String {
        flag.0
    }
}

impl fmt::Display for MountFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `context=LABEL`, which kubelet adds for `seLinuxMount`; kubelet puts the label in quotes, because
/// its categories are separated by a comma.
fn is_context(text: &str) -> bool {
    text.strip_prefix("context=")
        .is_some_and(|label| !label.is_empty() && !label.chars().any(char::is_control))
}
