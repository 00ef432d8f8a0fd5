//! Values that are numbers, times and words.

use std::borrow::Cow;
use std::time::Duration;

use nvme_fabrics::number::parse_u32;
use nvme_fabrics::{ConnectTuning, TUNING, TuningKind};
use nvme_sysfs::{FastIoFail, Transport};

use super::keys::{Given, Key, MAX_SECONDS};
use crate::csi::invalid::InvalidRequest;
use crate::volume::request::{MultiMount, PathLossHold};

/// Its own key, or the first of the URLs; both may say the same. Other drivers write it in capitals too.
pub(super) fn transport(given: &Given<'_>) -> Result<Transport, InvalidRequest> {
    let urls = given.value(Key::Transports);
    let scheme = urls.map(|urls| urls.split("://").next().unwrap_or_default());
    let read = |key, word: Option<&str>| {
        word.map(|word| read_transport(given, key, word))
            .transpose()
    };
    let own = read(Key::Transport, given.value(Key::Transport))?;
    let of_urls = read(Key::Transports, scheme)?;
    match (own, of_urls) {
        (Some(own), Some(of_urls)) if own != of_urls => {
            let rule = format!("is not the transport of the URLs, {of_urls}");
            Err(given.refusal(Key::Transport, rule))
        }
        (own, of_urls) => Ok(own.or(of_urls).unwrap_or(Transport::Tcp)),
    }
}

fn read_transport(given: &Given<'_>, key: Key, word: &str) -> Result<Transport, InvalidRequest> {
    match word.trim_matches(' ').to_ascii_lowercase().as_str() {
        "tcp" => Ok(Transport::Tcp),
        "rdma" => Ok(Transport::Rdma),
        "loop" => Ok(Transport::Loop),
        _ => Err(given.refusal(key, "must be tcp, rdma or loop")),
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
            let rule = "must be never, or a time of at least 1 s, as 600 (seconds), 90s or 1h30m";
            let refuse = |rule: &str| given.refusal(Key::PathLossTimeout, rule);
            match parse_time(text) {
                None | Some(0) => Err(refuse(rule)),
                Some(seconds) if seconds > MAX_SECONDS => {
                    Err(refuse(&format!("is more than {MAX_SECONDS} seconds")))
                }
                Some(seconds) => Ok(Some(Duration::from_secs(seconds))),
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

/// Seconds: a plain number of them, or hours, minutes and seconds in this order, as `90s`, `10m` or `1h30m`.
fn parse_time(text: &str) -> Option<u64> {
    if let Ok(seconds) = parse_u32(text) {
        return Some(seconds.into());
    }
    let (mut rest, mut time) = (text, 0);
    for (unit, seconds) in [('h', 3600), ('m', 60), ('s', 1)] {
        if let Some((number, behind)) = rest.split_once(unit) {
            time += u64::from(parse_u32(number).ok()?) * seconds;
            rest = behind;
        }
    }
    (rest.is_empty() && !text.is_empty()).then_some(time)
}

/// The options of the kernel.
pub(super) fn tuning(given: &Given<'_>) -> Result<ConnectTuning, InvalidRequest> {
    let mut tuning = ConnectTuning::default();
    for option in &TUNING {
        given.parsed_by(Key::Tuning(option.token), |text| {
            option.set(&mut tuning, &kernel_spelling(option.kind(), text))
        })?;
    }
    // That is how it is without it, and records of earlier versions have no word for it.
    if tuning.fast_io_fail_tmo == Some(FastIoFail::Off) {
        tuning.fast_io_fail_tmo = None;
    }
    Ok(tuning)
}

/// Times in seconds, and `-1` for none. What is no time is left to the option to refuse.
fn kernel_spelling(kind: TuningKind, text: &str) -> Cow<'_, str> {
    match (kind, text) {
        (TuningKind::Seconds, "off" | "never") => Cow::Borrowed("-1"),
        (TuningKind::Seconds, _) => {
            let time = parse_time(text).map(|seconds| Cow::Owned(seconds.to_string()));
            time.unwrap_or(Cow::Borrowed(text))
        }
        _ => Cow::Borrowed(text),
    }
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
    fn a_time_is_a_number_of_seconds_or_has_units() {
        for (text, seconds) in [
            ("600", 600),
            ("90s", 90),
            ("10m", 600),
            ("2h", 7200),
            ("1h30m", 5400),
            ("1h30m5s", 5405),
            ("90m1s", 5401),
            ("0s", 0),
        ] {
            assert_eq!(parse_time(text), Some(seconds), "{text}");
        }
        for text in [
            "", "m", "h30m", "-1s", "1.5h", "1d", "10 m", "01m", "5é", "1m1h", "1h30", "1s1s",
            "010",
        ] {
            assert_eq!(parse_time(text), None, "{text:?}");
        }
    }
}
