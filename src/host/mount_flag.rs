//! Mount options that a user may ask for, and what each becomes in `mount(2)`.
//!
//! Sources: mount(8), ext4(5), xfs(5), and the option tables of the kernels' ext4 and xfs.
//! Invariant: a [`MountFlag`] neither endangers data nor changes what is mounted or where. The
//! dangerous options are refused by name with the reason, and so is whatever is not in the table.

mod refused;
mod table;

use std::fmt;
use std::str::FromStr;

use rustix::mount::MountFlags;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::host::filesystem_type::FilesystemType;
use table::{Entry, On, find_entry};

/// One mount option, for example `noatime`, or `context="…"` for SELinux.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MountFlag {
    text: String,
    entry: Entry,
}

/// What an option becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect<'a> {
    /// A bit of the flags argument.
    Flags(MountFlags),
    /// A word of the data argument.
    Data(&'a str),
    /// Nothing: the kernel does not know the word, and it asks for the default.
    Nothing,
}

/// Why a text is not taken as a mount option.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseMountFlagError {
    /// A known option that must not be used.
    #[error("mount flag {text:?} is refused: {reason}")]
    Refused {
        /// The option.
        text: String,
        /// Why it must not be used.
        reason: &'static str,
    },
    /// Not in the table.
    #[error("mount flag {text:?} is not one of the allowed ones: {}", table::names().join(", "))]
    Unknown {
        /// The text.
        text: String,
    },
    /// An option that takes another kind of value.
    #[error("mount flag {text:?} must be {rule}")]
    Value {
        /// The text.
        text: String,
        /// What it must look like.
        rule: &'static str,
    },
    /// An option of the other filesystem.
    #[error("mount flag {text:?} is not an option of {fs}")]
    OtherFilesystem {
        /// The option.
        text: String,
        /// The filesystem that shall be mounted.
        fs: FilesystemType,
    },
}

impl MountFlag {
    /// The option as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the option is for this filesystem.
    ///
    /// # Errors
    /// [`ParseMountFlagError::OtherFilesystem`].
    pub fn check_filesystem(&self, fs: FilesystemType) -> Result<(), ParseMountFlagError> {
        let fits = match self.entry.on() {
            On::Every => true,
            On::Only(only) => only == fs,
        };
        if fits {
            return Ok(());
        }
        let text = self.text.clone();
        Err(ParseMountFlagError::OtherFilesystem { text, fs })
    }

    /// What it becomes in `mount(2)`.
    pub(crate) fn effect(&self) -> Effect<'_> {
        self.entry.effect(&self.text)
    }
}

/// Whether nobody may write by these options: the last of `ro` and `rw` counts, as for mount(8).
#[must_use]
pub fn are_read_only(flags: &[MountFlag]) -> bool {
    let mut said = flags.iter().rev().map(MountFlag::as_str);
    said.find(|word| matches!(*word, "ro" | "rw")) == Some("ro")
}

/// Every option that may be asked for, `…` for a value.
#[must_use]
pub fn allowed() -> Vec<String> {
    table::names()
}

/// Every option that is refused by name, `…` for what may follow, and the reason.
pub fn refused() -> impl Iterator<Item = (String, &'static str)> {
    refused::all()
}

impl FromStr for MountFlag {
    type Err = ParseMountFlagError;

    fn from_str(text: &str) -> Result<MountFlag, ParseMountFlagError> {
        if let Some(reason) = refused::find_reason(text) {
            return Err(ParseMountFlagError::Refused {
                text: text.to_owned(),
                reason,
            });
        }
        let Some(entry) = find_entry(text) else {
            return Err(ParseMountFlagError::Unknown {
                text: text.to_owned(),
            });
        };
        match entry.check_value(text) {
            Ok(()) => Ok(MountFlag {
                text: text.to_owned(),
                entry,
            }),
            Err(rule) => Err(ParseMountFlagError::Value {
                text: text.to_owned(),
                rule,
            }),
        }
    }
}

impl TryFrom<String> for MountFlag {
    type Error = ParseMountFlagError;

    fn try_from(text: String) -> Result<MountFlag, ParseMountFlagError> {
        text.parse()
    }
}

impl From<MountFlag> for String {
    fn from(flag: MountFlag) -> String {
        flag.text
    }
}

impl fmt::Display for MountFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<MountFlag, ParseMountFlagError> {
        text.parse()
    }

    fn accepted(text: &str) -> MountFlag {
        parse(text).expect("an allowed option")
    }

    #[test]
    fn words_of_the_kernel_interface_become_bits() {
        for (text, bits) in [
            ("noatime", MountFlags::NOATIME),
            ("ro", MountFlags::RDONLY),
            ("nosuid", MountFlags::NOSUID),
            ("dirsync", MountFlags::DIRSYNC),
            ("lazytime", MountFlags::LAZYTIME),
        ] {
            assert_eq!(accepted(text).effect(), Effect::Flags(bits), "{text}");
        }
    }

    #[test]
    fn words_of_a_filesystem_become_data_and_defaults_become_nothing() {
        for text in ["discard", "commit=30", "data=ordered", "logbsize=256k"] {
            assert_eq!(accepted(text).effect(), Effect::Data(text));
        }
        for text in ["rw", "defaults", "_netdev"] {
            assert_eq!(accepted(text).effect(), Effect::Nothing);
        }
    }

    #[test]
    fn a_selinux_label_keeps_its_quotes_and_commas() {
        let text = "context=\"system_u:object_r:container_file_t:s0:c1,c2\"";
        assert_eq!(accepted(text).effect(), Effect::Data(text));
        assert_eq!(
            accepted("rootcontext=a:b:c:s0").as_str(),
            "rootcontext=a:b:c:s0"
        );
    }

    #[test]
    fn dangerous_options_are_refused_with_the_reason() {
        for (text, reason) in [
            ("bind", "what is mounted"),
            ("remount", "an existing mount"),
            ("rshared", "propagation"),
            ("loop", "a file"),
            ("nobarrier", "loses data"),
            ("barrier=0", "loses data"),
            ("data=writeback", "old contents"),
            ("errors=panic", "the whole node"),
            ("norecovery", "by itself"),
            ("noload", "by itself"),
            ("journal_path=/dev/sda", "another device"),
            ("logdev=/dev/sda", "another device"),
            ("nofail", "fstab"),
            ("x-systemd.automount", "fstab"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(
                error.contains("is refused") && error.contains(reason),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_not_known_is_not_passed_on() {
        for text in [
            "",
            "no such",
            "NOATIME",
            "noatime ",
            "suid",
            "noatime,bind",
            "data=journal,noload",
            "commit",
        ] {
            let error = parse(text).expect_err(text);
            assert!(
                matches!(error, ParseMountFlagError::Unknown { .. }),
                "{error}"
            );
        }
    }

    #[test]
    fn a_value_cannot_smuggle_a_second_option_in() {
        for text in [
            "commit=5,nobarrier",
            "commit=",
            "commit=0",
            "commit=301",
            "context=a:b:c:s0,noload",
            "context=\"a:b:c:s0\",noload",
            "context=\"a:b\"c\"",
            "context=",
            "context=\"\"",
            "context=a\nb",
            "logbsize=k",
            "allocsize=1m,x",
        ] {
            let error = parse(text).expect_err(text);
            assert!(
                matches!(error, ParseMountFlagError::Value { .. }),
                "{error}"
            );
        }
    }

    #[test]
    fn an_option_of_the_other_filesystem_is_refused() {
        let error = accepted("nouuid")
            .check_filesystem(FilesystemType::Ext4)
            .expect_err("xfs only");
        assert_eq!(
            error.to_string(),
            "mount flag \"nouuid\" is not an option of ext4"
        );
        for fs in [FilesystemType::Ext4, FilesystemType::Xfs] {
            accepted("noatime").check_filesystem(fs).expect("for both");
        }
        assert!(
            accepted("data=journal")
                .check_filesystem(FilesystemType::Xfs)
                .is_err()
        );
    }

    #[test]
    fn a_flag_is_stored_as_its_text() {
        let flag = accepted("commit=30");
        let json = serde_json::to_string(&flag).expect("text");
        assert_eq!(json, "\"commit=30\"");
        assert_eq!(
            serde_json::from_str::<MountFlag>(&json).expect("text"),
            flag
        );
        assert!(serde_json::from_str::<MountFlag>("\"bind\"").is_err());
    }
}
