//! Numbers by which the kernel names a device: the N of `nvmeN`, `major:minor`, and the disk sequence number.
//!
//! Invariant: only plain decimal without sign or leading zero is read, so that one number has one spelling.

use std::fmt;
use std::str::FromStr;

/// The N of `nvmeN`: number of a controller on this host. The kernel re-uses it once the controller is freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instance(pub u32);

/// A device number, attribute `dev`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DevT {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

/// A number that no other disk of this boot has had, attribute `diskseq` (since 5.15).
///
/// Device numbers are re-used; `(DevT, Diskseq)` together name one disk for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Diskseq(pub u64);

/// Why a text is not a controller's name or a device number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseDeviceError {
    /// Not `nvme` followed by a number.
    #[error("{text:?} is not a controller name: nvme and a decimal number")]
    Controller {
        /// The refused text.
        text: String,
    },
    /// Not two numbers joined by a colon.
    #[error("{text:?} is not a device number: major:minor")]
    DevT {
        /// The refused text.
        text: String,
    },
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nvme{}", self.0)
    }
}

impl FromStr for Instance {
    type Err = ParseDeviceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.strip_prefix("nvme").and_then(decimal);
        number
            .map(Self)
            .ok_or_else(|| ParseDeviceError::Controller {
                text: text.to_owned(),
            })
    }
}

impl fmt::Display for DevT {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl FromStr for DevT {
    type Err = ParseDeviceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers = text
            .split_once(':')
            .and_then(|(major, minor)| Some((decimal(major)?, decimal(minor)?)));
        let (major, minor) = numbers.ok_or_else(|| ParseDeviceError::DevT {
            text: text.to_owned(),
        })?;
        Ok(Self { major, minor })
    }
}

impl fmt::Display for Diskseq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number in plain decimal: digits only, no leading zero.
pub(crate) fn decimal<T: FromStr>(text: &str) -> Option<T> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_name_is_nvme_and_a_plain_number() {
        assert_eq!("nvme3".parse(), Ok(Instance(3)));
        assert_eq!("nvme4294967295".parse(), Ok(Instance(u32::MAX)));
        assert_eq!(Instance(3).to_string(), "nvme3");
        for text in [
            "",
            "nvme",
            "nvme03",
            "nvme+3",
            "nvme-3",
            "nvme3n1",
            "NVME3",
            "nvme4294967296",
            "nvme3 ",
            "3",
        ] {
            assert_eq!(
                text.parse::<Instance>(),
                Err(ParseDeviceError::Controller {
                    text: text.to_owned()
                })
            );
        }
    }

    #[test]
    fn a_device_number_is_two_plain_numbers() {
        assert_eq!(
            "259:3".parse(),
            Ok(DevT {
                major: 259,
                minor: 3
            })
        );
        assert_eq!(
            DevT {
                major: 259,
                minor: 3
            }
            .to_string(),
            "259:3"
        );
        for text in [
            "", "259", "259:", ":3", "259:3:1", "259:-1", "0x103:3", "259: 3",
        ] {
            assert_eq!(
                text.parse::<DevT>(),
                Err(ParseDeviceError::DevT {
                    text: text.to_owned()
                })
            );
        }
    }
}
