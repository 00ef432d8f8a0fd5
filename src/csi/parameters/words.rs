//! Values that are numbers, times and words.

use std::time::Duration;

use nvme_fabrics::number::parse_u32;
use nvme_fabrics::{ConnectTuning, TUNING};
use nvme_sysfs::Transport;

use super::keys::{Given, Key, MAX_SECONDS};
use crate::csi::invalid::InvalidRequest;
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

/// The options of the kernel. `off` is its `-1`.
pub(super) fn tuning(given: &Given<'_>) -> Result<ConnectTuning, InvalidRequest> {
    let mut tuning = ConnectTuning::default();
    for option in &TUNING {
        given.parsed_by(Key::Tuning(option.token), |text| match text {
            "off" => option.set(&mut tuning, "-1"),
            _ => option.set(&mut tuning, text),
        })?;
    }
    Ok(tuning)
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
