//! Identifiers of a namespace in the spellings in which people copy them: from sysfs, from
//! `/dev/disk/by-id`, from nvme-cli and from the pages of targets.
//!
//! Digits may be of either case; dashes, colons and spaces between them say nothing. The kernel and udev write `uuid.` or
//! `eui.` before an identifier, and `eui.` before an NGUID too.

use nvme_sysfs::{Eui64, NamespaceSelector, Nguid, ParseIdentityError, Uuid};

/// What may stand before the digits of a UUID, and what before those of an NGUID and an EUI-64.
const UUID: [&str; 1] = ["uuid."];
const EUI: [&str; 3] = ["eui.", "nguid.", "0x"];

/// 32 digits.
pub(crate) fn parse_uuid(text: &str) -> Result<Uuid, ParseIdentityError> {
    let digits = digits(text, &UUID);
    let is_bare = digits.len() == 32 && digits.is_ascii();
    let groups = [0..8, 8..12, 12..16, 16..20, 20..32];
    let grouped = || groups.map(|group| &digits[group]).join("-");
    let spelled = is_bare.then(grouped);
    // What has another form is told as it was written.
    spelled.as_deref().unwrap_or(text).parse()
}

/// 32 digits.
pub(crate) fn parse_nguid(text: &str) -> Result<Nguid, ParseIdentityError> {
    digits(text, &EUI).parse()
}

/// 16 digits.
pub(crate) fn parse_eui64(text: &str) -> Result<Eui64, ParseIdentityError> {
    digits(text, &EUI).parse()
}

/// What stands behind `eui.`: an EUI-64, or with 32 digits an NGUID.
pub(crate) fn parse_eui(text: &str) -> Result<NamespaceSelector, ParseIdentityError> {
    match digits(text, &EUI).len() {
        32 => parse_nguid(text).map(NamespaceSelector::Nguid),
        _ => parse_eui64(text).map(NamespaceSelector::Eui64),
    }
}

/// The text without what says nothing.
fn digits(text: &str, prefixes: &[&str]) -> String {
    let text = text.trim_matches(' ').to_ascii_lowercase();
    let text = text.strip_prefix("nvme-").unwrap_or(&text);
    let behind = prefixes.iter().find_map(|prefix| text.strip_prefix(prefix));
    behind.unwrap_or(text).replace(['-', ':', ' '], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_read_in_every_spelling_in_which_it_is_copied() {
        let uuid: Uuid = "3f1a5c52-7d0e-4b8a-9a57-0d1f6b2c4e88"
            .parse()
            .expect("a uuid");
        for text in [
            "3f1a5c52-7d0e-4b8a-9a57-0d1f6b2c4e88",
            "3F1A5C52-7D0E-4B8A-9A57-0D1F6B2C4E88",
            "3f1a5c527d0e4b8a9a570d1f6b2c4e88",
            "uuid.3f1a5c52-7d0e-4b8a-9a57-0d1f6b2c4e88",
            "nvme-uuid.3f1a5c52-7d0e-4b8a-9a57-0d1f6b2c4e88",
        ] {
            assert_eq!(parse_uuid(text), Ok(uuid), "{text}");
        }
        let nguid: Nguid = "00000000000000000042aa42aa42aa42"
            .parse()
            .expect("an nguid");
        for text in [
            "00000000000000000042aa42aa42aa42",
            "00000000-0000-0000-0042-AA42AA42AA42",
            "eui.00000000000000000042aa42aa42aa42",
            "nvme-eui.00000000000000000042aa42aa42aa42",
            "nguid.00000000000000000042aa42aa42aa42",
            "0x00000000000000000042AA42AA42AA42",
        ] {
            assert_eq!(parse_nguid(text), Ok(nguid), "{text}");
            assert_eq!(
                parse_eui(text),
                Ok(NamespaceSelector::Nguid(nguid)),
                "{text}"
            );
            assert!(parse_eui64(text).is_err(), "{text}");
        }
        let eui64: Eui64 = "0025385b71b00a1c".parse().expect("an eui64");
        for text in [
            "0025385b71b00a1c",
            "00 25 38 5b 71 b0 0a 1c",
            "00-25-38-5B-71-B0-0A-1C",
            "00:25:38:5b:71:b0:0a:1c",
            "eui.0025385b71b00a1c",
            "0x0025385B71B00A1C",
        ] {
            assert_eq!(parse_eui64(text), Ok(eui64), "{text}");
            assert_eq!(
                parse_eui(text),
                Ok(NamespaceSelector::Eui64(eui64)),
                "{text}"
            );
            assert!(parse_nguid(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_identifier_is_refused() {
        for text in [
            "",
            "0",
            "eui.",
            "uuid.",
            "0025385b71b00a1",
            "0025385b71b00a1g",
            "eui.eui.0025385b71b00a1c",
            "0000000000000000",
            "00000000000000000000000000000000",
            "é0123456789012345678901234567890",
            "11111111-1111-4111-8111-111111111111,tls",
            "Pure_Storage_FlashArray_AA00000000000AAA_42",
        ] {
            assert!(parse_uuid(text).is_err(), "{text:?}");
            assert!(parse_nguid(text).is_err(), "{text:?}");
            assert!(parse_eui64(text).is_err(), "{text:?}");
            assert!(parse_eui(text).is_err(), "{text:?}");
        }
    }
}
