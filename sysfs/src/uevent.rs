//! Uevents: what the kernel tells about devices as they come, change and go (lib/kobject_uevent.c).
//!
//! Invariant: the parser is pure and total; bytes from the wire give an event or an error, never a panic.

use std::collections::BTreeMap;

use crate::device::{DevT, decimal};
use crate::word::kernel_word;

kernel_word! {
    /// What happened to the device.
    Action {
        /// It appeared.
        Add = "add",
        /// It is gone.
        Remove = "remove",
        /// Something about it changed.
        Change = "change",
        /// It was renamed or moved.
        Move = "move",
        /// It was put to use.
        Online = "online",
        /// It was taken out of use.
        Offline = "offline",
        /// A driver took it.
        Bind = "bind",
        /// Its driver left it.
        Unbind = "unbind",
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uevent {
    /// What happened.
    pub action: Action,
    /// The device's directory below the root of sysfs, with a slash in front.
    pub devpath: String,
    /// `nvme`, `nvme-subsystem`, `block`, `fc`, …
    pub subsystem: Option<String>,
    /// Running number of the event.
    pub seqnum: Option<u64>,
    /// All properties by key.
    pub properties: BTreeMap<String, String>,
}

/// Why a datagram is not an event of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseUeventError {
    /// udev's own datagram with its binary header.
    #[error("the datagram is udev's, not the kernel's")]
    Libudev,
    /// The datagram does not end with a zero byte.
    #[error("the datagram does not end with a zero byte")]
    Unterminated,
    /// Bytes that are not text.
    #[error("the datagram has bytes that are not UTF-8 at offset {offset}")]
    NotUtf8 {
        /// First such byte.
        offset: usize,
    },
    /// The first string is not `action@/devpath`.
    #[error("the datagram starts with {text:?}, not with action@/devpath")]
    Header {
        /// The first string.
        text: String,
    },
    /// A later string is not `KEY=value`.
    #[error("the property {text:?} is not KEY=value")]
    Property {
        /// The string.
        text: String,
    },
    /// `SEQNUM` is not a number.
    #[error("the property SEQNUM={value:?} is not a decimal number")]
    Seqnum {
        /// The value.
        value: String,
    },
}

impl Uevent {
    /// Reads one datagram, `action@/devpath` and `KEY=value` strings, each ended by a zero byte.
    ///
    /// # Errors
    /// [`ParseUeventError`] says what is not of this form.
    pub fn parse(datagram: &[u8]) -> Result<Self, ParseUeventError> {
        if datagram.starts_with(b"libudev\0") {
            return Err(ParseUeventError::Libudev);
        }
        let text = std::str::from_utf8(datagram).map_err(|error| ParseUeventError::NotUtf8 {
            offset: error.valid_up_to(),
        })?;
        let text = text
            .strip_suffix('\0')
            .ok_or(ParseUeventError::Unterminated)?;
        let mut strings = text.split('\0');
        let (action, devpath) = parse_header(strings.next().unwrap_or_default())?;
        let properties = strings
            .map(parse_property)
            .collect::<Result<BTreeMap<_, _>, _>>()?;
        Ok(Self {
            action,
            devpath,
            subsystem: properties.get("SUBSYSTEM").cloned(),
            seqnum: properties
                .get("SEQNUM")
                .map(|value| parse_seqnum(value))
                .transpose()?,
            properties,
        })
    }

    /// Name of the device node below `/dev`, property `DEVNAME`.
    #[must_use]
    pub fn devname(&self) -> Option<&str> {
        self.property("DEVNAME")
    }

    /// What the NVMe driver tells about a controller, property `NVME_EVENT`: `connected` or `rediscover`.
    #[must_use]
    pub fn nvme_event(&self) -> Option<&str> {
        self.property("NVME_EVENT")
    }

    /// Number of the device node, properties `MAJOR` and `MINOR`.
    #[must_use]
    pub fn dev(&self) -> Option<DevT> {
        let major = decimal(self.property("MAJOR")?)?;
        let minor = decimal(self.property("MINOR")?)?;
        Some(DevT { major, minor })
    }

    fn property(&self, key: &str) -> Option<&str> {
        self.properties.get(key).map(String::as_str)
    }
}

fn parse_header(text: &str) -> Result<(Action, String), ParseUeventError> {
    match text.split_once('@') {
        Some((action, devpath)) if !action.is_empty() && devpath.starts_with('/') => {
            Ok((Action::from(action), devpath.to_owned()))
        }
        _ => Err(ParseUeventError::Header {
            text: text.to_owned(),
        }),
    }
}

fn parse_property(text: &str) -> Result<(String, String), ParseUeventError> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(ParseUeventError::Property {
            text: text.to_owned(),
        }),
    }
}

fn parse_seqnum(value: &str) -> Result<u64, ParseUeventError> {
    decimal(value).ok_or_else(|| ParseUeventError::Seqnum {
        value: value.to_owned(),
    })
}
