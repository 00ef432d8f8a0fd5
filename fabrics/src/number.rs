//! Numbers that people write for options of the kernel: plain decimal, or refused.
//!
//! The kernel reads option numbers with base 0, so that `010` means eight and `0x10` sixteen
//! (lib/parser.c): whoever types one of those means something else than the next reader. Ranges are
//! not checked here but where the options are built.

use std::time::Duration;

use thiserror::Error;

/// Why a text is not a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NumberError {
    /// Nothing there.
    #[error("a number is required")]
    Empty,
    /// `010` is eight for the kernel and ten for people.
    #[error("a number has no leading zero: the kernel would read it as octal")]
    LeadingZero,
    /// A sign, a space, a hexadecimal or any other letter.
    #[error("a number is written in decimal digits only")]
    NotDecimal,
    /// Zero where that would mean "not at all".
    #[error("a number is at least 1")]
    Zero,
    /// More than the type holds.
    #[error("a number is at most {max}")]
    TooLarge {
        /// The largest one.
        max: u64,
    },
}

/// A number without sign.
///
/// # Errors
/// More than 32 bits hold, or not plain decimal.
pub fn parse_u32(text: &str) -> Result<u32, NumberError> {
    let max = u32::MAX.into();
    let number = parse(text, max)?;
    u32::try_from(number).map_err(|_| NumberError::TooLarge { max })
}

/// A number of one byte.
///
/// # Errors
/// More than 255, or not plain decimal.
pub fn parse_u8(text: &str) -> Result<u8, NumberError> {
    let max = u8::MAX.into();
    u8::try_from(parse(text, max)?).map_err(|_| NumberError::TooLarge { max })
}

/// Whole seconds, at least one.
///
/// # Errors
/// Zero, or as [`parse_u32`].
pub fn parse_timeout(text: &str) -> Result<Duration, NumberError> {
    let timeout = parse_seconds(text)?;
    if timeout.is_zero() {
        return Err(NumberError::Zero);
    }
    Ok(timeout)
}

/// Whole seconds.
///
/// # Errors
/// As [`parse_u32`].
pub fn parse_seconds(text: &str) -> Result<Duration, NumberError> {
    parse_u32(text).map(|seconds| Duration::from_secs(seconds.into()))
}

/// Whole seconds, or `-1` for "no limit" as the kernel's options spell it.
///
/// # Errors
/// As [`parse_u32`], or another negative number.
pub fn parse_seconds_or_minus_one(text: &str) -> Result<Option<Duration>, NumberError> {
    match text {
        "-1" => Ok(None),
        _ => parse_seconds(text).map(Some),
    }
}

fn parse(text: &str, max: u64) -> Result<u64, NumberError> {
    if text.is_empty() {
        return Err(NumberError::Empty);
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NumberError::NotDecimal);
    }
    if text.len() > 1 && text.starts_with('0') {
        return Err(NumberError::LeadingZero);
    }
    // Only overflow is left.
    text.parse().map_err(|_| NumberError::TooLarge { max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_decimal_is_read() {
        assert_eq!(parse_u32("0"), Ok(0));
        assert_eq!(parse_u32("4294967295"), Ok(u32::MAX));
        assert_eq!(parse_seconds_or_minus_one("-1"), Ok(None));
        assert_eq!(
            parse_seconds_or_minus_one("600"),
            Ok(Some(Duration::from_secs(600)))
        );
    }

    #[test]
    fn everything_else_is_refused_with_its_rule() {
        let too_large = NumberError::TooLarge { max: 4_294_967_295 };
        for (text, error) in [
            ("", NumberError::Empty),
            ("010", NumberError::LeadingZero),
            ("00", NumberError::LeadingZero),
            ("0x10", NumberError::NotDecimal),
            ("+1", NumberError::NotDecimal),
            ("-2", NumberError::NotDecimal),
            (" 1", NumberError::NotDecimal),
            ("1 ", NumberError::NotDecimal),
            ("1,hostnqn=x", NumberError::NotDecimal),
            ("1\n", NumberError::NotDecimal),
            ("1\0", NumberError::NotDecimal),
            ("10s", NumberError::NotDecimal),
            ("1_0", NumberError::NotDecimal),
            ("٣", NumberError::NotDecimal),
            ("4294967296", too_large),
            ("99999999999999999999999", too_large),
        ] {
            assert_eq!(parse_seconds_or_minus_one(text), Err(error), "{text:?}");
        }
    }
}
