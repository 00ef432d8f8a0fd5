//! Numbers of keys in the kernel's keyrings, for TLS.

use std::num::NonZeroU32;
use std::str::FromStr;

/// Serial number of a key or keyring, as `keyctl(1)` shows it. Always positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeySerial(NonZeroU32);

/// The text is no key serial number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key serial {value:?} must be a number from 1 to 2147483647, decimal or 0x hexadecimal")]
pub struct ParseKeySerialError {
    /// What was given.
    value: String,
}

impl FromStr for KeySerial {
    type Err = ParseKeySerialError;

    fn from_str(text: &str) -> Result<KeySerial, ParseKeySerialError> {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = match text.strip_prefix("0x") {
            Some(hex) if digits(hex) => i32::from_str_radix(hex, 16).ok(),
            None if digits(text) => text.parse::<i32>().ok(),
            _ => None,
        };
        number
            .and_then(|number| u32::try_from(number).ok())
            .and_then(NonZeroU32::new)
            .map(KeySerial)
            .ok_or_else(|| ParseKeySerialError {
                value: text.to_owned(),
            })
    }
}

impl KeySerial {
    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_is_positive_and_decimal_or_hexadecimal() {
        for (text, number) in [("1", 1), ("0x1f", 31), ("2147483647", 2_147_483_647)] {
            assert_eq!(text.parse::<KeySerial>().map(KeySerial::get), Ok(number));
        }
        for bad in [
            "",
            "0",
            "0x",
            "-1",
            "+1",
            "0x+1",
            "2147483648",
            "0x80000000",
            "1 ",
            "ff",
        ] {
            let error = bad.parse::<KeySerial>().expect_err(bad);
            assert!(error.to_string().contains(&format!("{bad:?}")), "{error}");
        }
    }
}
