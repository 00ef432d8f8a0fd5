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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONNECTED: &[u8] = b"change@/devices/virtual/nvme-fabrics/ctl/nvme0\0ACTION=change\0\
        DEVPATH=/devices/virtual/nvme-fabrics/ctl/nvme0\0SUBSYSTEM=nvme\0NVME_EVENT=connected\0NVME_TRTYPE=tcp\0\
        NVME_TRADDR=192.168.5.1\0NVME_TRSVCID=4420\0NVME_HOST_TRADDR=none\0NVME_HOST_IFACE=none\0MAJOR=243\0MINOR=0\0\
        DEVNAME=nvme0\0SEQNUM=1387\0";

    #[test]
    fn a_controller_that_is_connected_says_so() {
        let event = Uevent::parse(CONNECTED).expect("an event");
        assert_eq!(event.action, Action::Change);
        assert_eq!(event.devpath, "/devices/virtual/nvme-fabrics/ctl/nvme0");
        assert_eq!(event.subsystem.as_deref(), Some("nvme"));
        assert_eq!(event.nvme_event(), Some("connected"));
        assert_eq!(event.devname(), Some("nvme0"));
        assert_eq!(
            event.dev(),
            Some(DevT {
                major: 243,
                minor: 0
            })
        );
        assert_eq!(event.seqnum, Some(1387));
        assert_eq!(event.properties["NVME_TRADDR"], "192.168.5.1");
    }

    #[test]
    fn an_event_without_properties_and_an_unknown_action_are_events() {
        let event = Uevent::parse(b"split@/devices/x\0").expect("an event");
        assert_eq!(event.action, Action::Other("split".to_owned()));
        assert_eq!(
            (event.subsystem.as_deref(), event.seqnum, event.dev()),
            (None, None, None)
        );
        assert!(event.properties.is_empty());
    }

    #[test]
    fn an_empty_value_and_a_value_with_equal_signs_are_kept() {
        let event = Uevent::parse(b"add@/x\0EMPTY=\0NVME_AEN=a=b\0").expect("an event");
        assert_eq!(event.properties["EMPTY"], "");
        assert_eq!(event.properties["NVME_AEN"], "a=b");
    }

    #[test]
    fn a_datagram_of_udev_is_recognised() {
        let header = b"libudev\0\xfe\xed\xca\xfe\x28\0\0\0";
        assert_eq!(Uevent::parse(header), Err(ParseUeventError::Libudev));
    }

    #[test]
    fn what_is_malformed_is_named() {
        let text = |text: &str| text.to_owned();
        let cases: [(&[u8], ParseUeventError); 9] = [
            (b"", ParseUeventError::Unterminated),
            (b"add@/x", ParseUeventError::Unterminated),
            (b"\0", ParseUeventError::Header { text: text("") }),
            (b"add\0", ParseUeventError::Header { text: text("add") }),
            (b"@/x\0", ParseUeventError::Header { text: text("@/x") }),
            (
                b"add@x\0",
                ParseUeventError::Header {
                    text: text("add@x"),
                },
            ),
            (b"add@/x\0\xff=1\0", ParseUeventError::NotUtf8 { offset: 7 }),
            (
                b"add@/x\0=1\0",
                ParseUeventError::Property { text: text("=1") },
            ),
            (
                b"add@/x\0SEQNUM=-1\0",
                ParseUeventError::Seqnum { value: text("-1") },
            ),
        ];
        for (datagram, error) in cases {
            assert_eq!(
                Uevent::parse(datagram),
                Err(error),
                "{}",
                datagram.escape_ascii()
            );
        }
    }

    #[test]
    fn a_datagram_cut_anywhere_is_an_error_or_a_shorter_event() {
        for length in 0..CONNECTED.len() {
            match Uevent::parse(&CONNECTED[..length]) {
                Ok(event) => assert!(event.properties.len() < 13),
                Err(error) => assert_eq!(error, ParseUeventError::Unterminated),
            }
        }
    }

    fn write(event: &Uevent) -> Vec<u8> {
        let mut datagram = format!("{}@{}\0", event.action, event.devpath);
        for (key, value) in &event.properties {
            datagram += &format!("{key}={value}\0");
        }
        datagram.into_bytes()
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(datagram in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Uevent::parse(&datagram);
        }

        #[test]
        fn what_is_written_is_read_back(
            action in "[a-z]{1,8}",
            devpath in "/[a-z0-9/:.-]{0,40}",
            properties in prop::collection::btree_map("[A-Z_]{1,9}", "[ -~]{0,20}", 0..6),
        ) {
            prop_assume!(!properties.contains_key("SEQNUM"));
            let subsystem = properties.get("SUBSYSTEM").cloned();
            let event = Uevent { action: Action::from(action.as_str()), devpath, subsystem, seqnum: None, properties };
            prop_assert_eq!(Uevent::parse(&write(&event)), Ok(event));
        }
    }
}
