//! Values of attributes: how the kernel prints times, flags and numbers.
//!
//! Invariant: each parser knows every text that a kernel prints there, and nothing else; `None` means "not of this form".

use std::str::FromStr;
use std::time::Duration;

use crate::controller::{ControllerLoss, FastIoFail, KeepAlive};
use crate::device::decimal;
use crate::identity::{Nsid, ParseIdentityError};
use crate::nqn::Nqn;

/// Bytes in a sector, the unit of the attribute `size` whatever the block size (block/genhd.c).
const SECTOR: u64 = 512;

/// `ctrl_loss_tmo`: `off`, or attempts times delay in seconds.
///
/// The kernel prints that product as a signed number; near the largest time-outs it overflows into the negative, and
/// the same bits without a sign are what was meant.
pub(crate) fn controller_loss(text: &str) -> Option<ControllerLoss> {
    if text == "off" {
        return Some(ControllerLoss::Never);
    }
    wrapped_seconds(text).map(ControllerLoss::After)
}

/// `fast_io_fail_tmo`: `off`, or seconds.
pub(crate) fn fast_io_fail(text: &str) -> Option<FastIoFail> {
    if text == "off" {
        return Some(FastIoFail::Off);
    }
    seconds(text).map(FastIoFail::After)
}

/// `reconnect_delay` in seconds: any 32 bits can be written, of which the kernel prints all ones as `off` and other large
/// numbers with a sign.
pub(crate) fn reconnect_delay(text: &str) -> Option<Duration> {
    if text == "off" {
        return Some(Duration::from_secs(u32::MAX.into()));
    }
    wrapped_seconds(text)
}

/// `kato`: seconds, zero for none.
pub(crate) fn keep_alive(text: &str) -> Option<KeepAlive> {
    let timeout = wrapped_seconds(text)?;
    Some(if timeout.is_zero() {
        KeepAlive::Off
    } else {
        KeepAlive::Timeout(timeout)
    })
}

/// 32 bits that have no sign and that the kernel prints by `%d` all the same (`nsid`, `ana_grpid`, `kato`, `queue_count`
/// in drivers/nvme/host/sysfs.c and multipath.c): the upper half comes out negative.
pub(crate) fn wrapped(text: &str) -> Option<u32> {
    match text.strip_prefix('-') {
        Some(magnitude) => {
            decimal::<u32>(magnitude)?;
            text.parse::<i32>().ok().map(i32::cast_unsigned)
        }
        None => decimal(text),
    }
}

/// `nsid`; zero is the inner `None`.
pub(crate) fn nsid(text: &str) -> Option<Option<Nsid>> {
    wrapped(text).map(Nsid::new)
}

/// Seconds without a sign.
pub(crate) fn seconds(text: &str) -> Option<Duration> {
    decimal(text).map(|seconds: u32| Duration::from_secs(seconds.into()))
}

/// Milliseconds without a sign.
pub(crate) fn milliseconds(text: &str) -> Option<Duration> {
    decimal(text).map(Duration::from_millis)
}

/// `numa_node`: -1 where the controller is next to none.
pub(crate) fn numa_node(text: &str) -> Option<Option<u32>> {
    if text == "-1" {
        Some(None)
    } else {
        decimal(text).map(Some)
    }
}

/// `size`: sectors, as bytes.
pub(crate) fn size_bytes(text: &str) -> Option<u64> {
    decimal::<u64>(text)?.checked_mul(SECTOR)
}

/// A flag printed as 0 or 1.
pub(crate) fn flag(text: &str) -> Option<bool> {
    match text {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

/// A flag printed as a word.
pub(crate) fn on_or_off(text: &str) -> Option<bool> {
    match text {
        "off" => Some(false),
        "on" => Some(true),
        _ => None,
    }
}

/// A module parameter of the type bool, printed as N or Y.
pub(crate) fn yes_or_no(text: &str) -> Option<bool> {
    match text {
        "N" => Some(false),
        "Y" => Some(true),
        _ => None,
    }
}

/// An identifier; all zero is the inner `None`.
pub(crate) fn identifier<T: FromStr<Err = ParseIdentityError>>(text: &str) -> Option<Option<T>> {
    match text.parse() {
        Ok(identifier) => Some(Some(identifier)),
        Err(ParseIdentityError::Zero) => Some(None),
        Err(ParseIdentityError::Form { .. }) => None,
    }
}

/// The checked name in a text of the kernel's, if it is one. A replacement character means that the text was not UTF-8.
pub(crate) fn nqn(text: &str) -> Option<Nqn> {
    (!text.contains(char::REPLACEMENT_CHARACTER))
        .then(|| text.parse().ok())
        .flatten()
}

fn wrapped_seconds(text: &str) -> Option<Duration> {
    wrapped(text).map(|seconds| Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Nguid, Uuid};

    const GARBAGE: [&str; 7] = [
        "",
        "x",
        "1.5",
        "1s",
        "0x10",
        "99999999999999999999",
        "\u{661}",
    ];

    fn after(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_time_to_removal_is_seconds_or_never() {
        assert_eq!(
            controller_loss("600"),
            Some(ControllerLoss::After(after(600)))
        );
        assert_eq!(
            controller_loss("0"),
            Some(ControllerLoss::After(Duration::ZERO))
        );
        assert_eq!(controller_loss("off"), Some(ControllerLoss::Never));
        // ctrl_loss_tmo=2147483647,reconnect_delay=10: 214748365 attempts times 10 s.
        assert_eq!(
            controller_loss("-2147483646"),
            Some(ControllerLoss::After(after(2_147_483_650)))
        );
    }

    #[test]
    fn times_and_their_words_for_off() {
        assert_eq!(fast_io_fail("5"), Some(FastIoFail::After(after(5))));
        assert_eq!(fast_io_fail("off"), Some(FastIoFail::Off));
        assert_eq!(fast_io_fail("-1"), None);
        assert_eq!(reconnect_delay("10"), Some(after(10)));
        assert_eq!(reconnect_delay("off"), Some(after(4_294_967_295)));
        assert_eq!(reconnect_delay("-2"), Some(after(4_294_967_294)));
        assert_eq!(keep_alive("5"), Some(KeepAlive::Timeout(after(5))));
        assert_eq!(keep_alive("0"), Some(KeepAlive::Off));
    }

    #[test]
    fn numbers_and_flags() {
        assert_eq!(numa_node("-1"), Some(None));
        assert_eq!(numa_node("1"), Some(Some(1)));
        assert_eq!(size_bytes("131072"), Some(67_108_864));
        assert_eq!(size_bytes("36028797018963968"), None, "2^64 bytes");
        assert_eq!(
            (flag("0"), flag("1"), flag("2")),
            (Some(false), Some(true), None)
        );
        assert_eq!(
            (yes_or_no("N"), yes_or_no("Y"), yes_or_no("y")),
            (Some(false), Some(true), None)
        );
        assert_eq!(
            (on_or_off("off"), on_or_off("on"), on_or_off("1")),
            (Some(false), Some(true), None)
        );
        assert_eq!(milliseconds("30000"), Some(after(30)));
    }

    #[test]
    fn a_number_printed_with_a_sign_is_the_number_it_is() {
        assert_eq!(wrapped("-2"), Some(4_294_967_294));
        assert_eq!(wrapped("-2147483648"), Some(2_147_483_648));
        assert_eq!(wrapped("4294967295"), Some(4_294_967_295));
        for text in ["-2147483649", "-4294967295", "--1", "-", "-01", "+1"] {
            assert_eq!(wrapped(text), None, "{text}");
        }
        let number = |text| nsid(text).flatten().map(Nsid::get);
        assert_eq!(number("-2"), Some(0xffff_fffe));
        assert_eq!((number("1"), nsid("0")), (Some(1), Some(None)));
        assert_eq!(
            keep_alive("-1"),
            Some(KeepAlive::Timeout(after(4_294_967_295)))
        );
    }

    #[test]
    fn an_identifier_of_zeros_is_none_and_garbage_is_refused() {
        let zeros = "00000000-0000-0000-0000-000000000000";
        assert_eq!(identifier::<Uuid>(zeros), Some(None));
        assert_eq!(
            identifier::<Nguid>(&zeros.replace('0', "f")).map(|id| id.is_some()),
            Some(true)
        );
        assert_eq!(identifier::<Uuid>("f"), None);
    }

    #[test]
    fn a_text_that_was_not_utf8_is_no_nqn() {
        assert!(nqn("testnqn").is_some());
        assert_eq!(nqn("test\u{fffd}nqn"), None);
    }

    #[test]
    fn garbage_is_no_value_of_any_kind() {
        for text in GARBAGE {
            assert_eq!(controller_loss(text), None, "{text}");
            assert_eq!(fast_io_fail(text), None, "{text}");
            assert_eq!(reconnect_delay(text), None, "{text}");
            assert_eq!(keep_alive(text), None, "{text}");
            assert_eq!(numa_node(text), None, "{text}");
            assert_eq!(size_bytes(text), None, "{text}");
            assert_eq!(flag(text), None, "{text}");
            assert_eq!(yes_or_no(text), None, "{text}");
            assert_eq!(on_or_off(text), None, "{text}");
            assert_eq!(milliseconds(text), None, "{text}");
        }
    }
}
