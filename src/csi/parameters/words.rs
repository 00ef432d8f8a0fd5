//! Values that are numbers, times and words.

use std::time::Duration;

use nvme_sysfs::{ControllerLoss, Transport};

use super::keys::{Given, Key, MAX_SECONDS};
use crate::csi::invalid::InvalidRequest;
use crate::number::{parse_seconds, parse_seconds_or_minus_one, parse_u8, parse_u32};
use crate::volume::request::{MultiMount, PathLossHold};

pub(super) fn transport(given: &Given<'_>) -> Result<Transport, InvalidRequest> {
    match given.value(Key::Transport) {
        None | Some("tcp") => Ok(Transport::Tcp),
        Some("rdma") => Ok(Transport::Rdma),
        Some("loop") => Ok(Transport::Loop),
        Some(_) => Err(given.refusal(Key::Transport, "must be tcp, rdma or loop")),
    }
}

pub(super) fn path_loss_hold(given: &Given<'_>) -> Result<PathLossHold, InvalidRequest> {
    match given.value(Key::PathLossHold) {
        None | Some("auto") => Ok(PathLossHold::Auto),
        Some("dm") => Ok(PathLossHold::Dm),
        Some("native") => Ok(PathLossHold::Native),
        Some("none") => Ok(PathLossHold::None),
        Some(_) => Err(given.refusal(Key::PathLossHold, "must be auto, dm, native or none")),
    }
}

pub(super) fn path_loss_timeout(given: &Given<'_>) -> Result<Option<Duration>, InvalidRequest> {
    match given.value(Key::PathLossTimeout) {
        None | Some("never") => Ok(None),
        Some(text) => {
            let rule = "must be never, or a number of at least 1 with one of the units s, m, h";
            let refuse = |rule: &str| given.refusal(Key::PathLossTimeout, rule);
            let time = parse_duration(text).ok_or_else(|| refuse(rule))?;
            match time.as_secs() <= MAX_SECONDS {
                true => Ok(Some(time)),
                false => Err(refuse(&format!("is more than {MAX_SECONDS} seconds"))),
            }
        }
    }
}

pub(super) fn multi_mount(given: &Given<'_>) -> Result<MultiMount, InvalidRequest> {
    match switch(given, Key::MultiMountProtection)? {
        true => Ok(MultiMount::Protected),
        false => Ok(MultiMount::Unprotected),
    }
}

/// `90s`, `10m` or `2h`.
fn parse_duration(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let number = parse_u32(text.strip_suffix(unit)?).ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return None,
    };
    (number > 0).then(|| Duration::from_secs(u64::from(number) * seconds))
}

pub(super) fn controller_loss(given: &Given<'_>) -> Result<Option<ControllerLoss>, InvalidRequest> {
    let limit = given.parsed_by(Key::CtrlLossTmo, parse_seconds_or_minus_one)?;
    Ok(limit.map(|limit| limit.map_or(ControllerLoss::Never, ControllerLoss::After)))
}

/// Seconds, or `off` (for the kernel `-1`), which is how it is without it.
pub(super) fn fast_io_fail(given: &Given<'_>) -> Result<Option<Duration>, InvalidRequest> {
    if given.value(Key::FastIoFailTmo) == Some("off") {
        return Ok(None);
    }
    let limit = given.parsed_by(Key::FastIoFailTmo, parse_seconds_or_minus_one)?;
    Ok(limit.flatten())
}

pub(super) fn seconds(given: &Given<'_>, key: Key) -> Result<Option<Duration>, InvalidRequest> {
    given.parsed_by(key, parse_seconds)
}

pub(super) fn count(given: &Given<'_>, key: Key) -> Result<Option<u32>, InvalidRequest> {
    given.parsed_by(key, parse_u32)
}

pub(super) fn tos(given: &Given<'_>) -> Result<Option<u8>, InvalidRequest> {
    given.parsed_by(Key::Tos, parse_u8)
}

pub(super) fn switch(given: &Given<'_>, key: Key) -> Result<bool, InvalidRequest> {
    match given.value(key) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(given.refusal(key, "must be true or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_number_and_a_unit() {
        for (text, seconds) in [("90s", 90), ("10m", 600), ("2h", 7200)] {
            assert_eq!(parse_duration(text), Some(Duration::from_secs(seconds)));
        }
        for text in [
            "", "m", "10", "0s", "-1s", "1.5h", "1d", "10 m", "01m", "5é",
        ] {
            assert_eq!(parse_duration(text), None, "{text:?}");
        }
    }
}
