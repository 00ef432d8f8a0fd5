//! How long a call may take: what the caller says in the header `grpc-timeout`, a number of at most
//! eight digits and a letter for its unit (gRPC over HTTP/2), less the time that the answer needs.

use std::time::Duration;

use tonic::metadata::MetadataMap;

/// For callers that set no limit. kubelet gives up after 2 min (its `csiTimeout`), and a little
/// before that it can still be told why.
const DEFAULT: Duration = Duration::from_secs(110);

/// The header.
const HEADER: &str = "grpc-timeout";

/// The time within which the call with this metadata has to be answered.
pub(super) fn time_limit(metadata: &MetadataMap) -> Duration {
    let header = metadata.get(HEADER).and_then(|value| value.to_str().ok());
    header.and_then(parse).map_or(DEFAULT, with_margin)
}

/// A caller that has given up hears nothing, so it is answered a little before: a tenth of its time,
/// at most a second.
fn with_margin(limit: Duration) -> Duration {
    limit.saturating_sub((limit / 10).min(Duration::from_secs(1)))
}

fn parse(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let digits = text.strip_suffix(unit)?;
    let is_number = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let number: u64 = is_number.then(|| digits.parse().ok()).flatten()?;
    match unit {
        'H' => Some(Duration::from_secs(number * 3600)),
        'M' => Some(Duration::from_secs(number * 60)),
        'S' => Some(Duration::from_secs(number)),
        'm' => Some(Duration::from_millis(number)),
        'u' => Some(Duration::from_micros(number)),
        'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(header: &'static str) -> Duration {
        let mut metadata = MetadataMap::new();
        metadata.insert(HEADER, header.parse().expect("a header's value"));
        time_limit(&metadata)
    }

    #[test]
    fn each_unit_is_read() {
        for (text, expected) in [
            ("99999999H", Duration::from_secs(99_999_999 * 3600)),
            ("2M", Duration::from_secs(120)),
            ("0S", Duration::ZERO),
            ("120000m", Duration::from_secs(120)),
            ("7u", Duration::from_micros(7)),
            ("7n", Duration::from_nanos(7)),
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn the_caller_is_answered_before_it_gives_up() {
        assert_eq!(limit("2M"), Duration::from_secs(119));
        assert_eq!(limit("100m"), Duration::from_millis(90));
    }

    #[test]
    fn without_a_valid_header_the_default_holds() {
        assert_eq!(time_limit(&MetadataMap::new()), DEFAULT);
        for text in [
            "",
            "S",
            "1",
            "-1S",
            "+1S",
            "1.5S",
            "123456789S",
            "1s",
            "1 S",
            "5é",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        assert_eq!(limit("10x"), DEFAULT);
    }
}
