//! What tells one namespace from another whatever device it appears as: `uuid`, `nguid`, `eui`, `nsid`, `wwid`.
//!
//! Invariant: an identifier that is all zero is no identifier (NVMe base specification, Identify Namespace), so none of
//! these types holds one.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use crate::device::decimal;

/// A UUID (RFC 9562) that is not all zero: of a namespace (`uuid`) or a host (`hostid`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid([u8; 16]);

/// Namespace Globally Unique Identifier, 16 bytes that are not all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nguid([u8; 16]);

/// IEEE Extended Unique Identifier of a namespace, 8 bytes that are not all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Eui64([u8; 8]);

/// Number of a namespace within its subsystem, attribute `nsid`. It is not the Y of `nvmeXnY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nsid(NonZeroU32);

/// The kernel's own choice among the identifiers, attribute `wwid`: `uuid.…`, `eui.…` or `nvme.…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wwid(pub String);

/// Every identifier that a namespace has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct NamespaceIdentity {
    /// Number within the subsystem.
    pub nsid: Option<Nsid>,
    /// UUID. Absent too where the attribute only repeats the NGUID, as the kernel does for want of a UUID; a target that
    /// makes the NGUID of its UUID (SPDK) has both.
    pub uuid: Option<Uuid>,
    /// NGUID.
    pub nguid: Option<Nguid>,
    /// EUI-64.
    pub eui64: Option<Eui64>,
}

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseIdentityError {
    /// Not of the identifier's form.
    #[error("{text:?} is not {form}")]
    Form {
        /// The refused text.
        text: String,
        /// What was expected.
        form: &'static str,
    },
    /// All zero, which stands for "no identifier".
    #[error("an identifier of zeros identifies nothing")]
    Zero,
}

impl NamespaceIdentity {
    /// Puts the attributes together. The attribute `uuid` shows the NGUID of a namespace without UUID (`uuid_show` in
    /// drivers/nvme/host/sysfs.c), and is left out then. Where both are alike `wwid` tells: the kernel makes it of the UUID
    /// if there is one.
    #[must_use]
    pub fn new(
        nsid: Option<Nsid>,
        uuid: Option<Uuid>,
        nguid: Option<Nguid>,
        eui64: Option<Eui64>,
        wwid: Option<&Wwid>,
    ) -> Self {
        let is_told = wwid.is_some_and(|wwid| wwid.0.starts_with("uuid."));
        let repeats = |uuid: &Uuid| nguid.is_some_and(|nguid| nguid.0 == uuid.0);
        Self {
            nsid,
            uuid: uuid.filter(|uuid| is_told || !repeats(uuid)),
            nguid,
            eui64,
        }
    }

    /// Whether the attribute `uuid` shows this: the UUID, or for want of one the NGUID.
    #[must_use]
    pub fn shows_uuid(&self, uuid: &Uuid) -> bool {
        match (self.uuid, self.nguid) {
            (Some(own), _) => own == *uuid,
            (None, Some(nguid)) => nguid.0 == uuid.0,
            (None, None) => false,
        }
    }

    /// Whether both are of one namespace: the same in every part, but for a UUID that says no more than the NGUID, which
    /// one of them may be without.
    #[must_use]
    pub fn is_of_same(&self, other: &Self) -> bool {
        let told = |identity: &Self| {
            let repeats = |uuid: &Uuid| identity.nguid.is_some_and(|nguid| nguid.0 == uuid.0);
            Self {
                uuid: identity.uuid.filter(|uuid| !repeats(uuid)),
                ..*identity
            }
        };
        told(self) == told(other)
    }

    /// Whether there is an identifier that is unique beyond the subsystem: uuid, nguid or eui64.
    #[must_use]
    pub fn is_unique(&self) -> bool {
        self.uuid.is_some() || self.nguid.is_some() || self.eui64.is_some()
    }
}

impl fmt::Display for NamespaceIdentity {
    /// `nsid 1, uuid 11111111-…`: what is there, in this order, or `no identifier`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.nsid.map(|nsid| format!("nsid {nsid}")),
            self.uuid.map(|uuid| format!("uuid {uuid}")),
            self.nguid.map(|nguid| format!("nguid {nguid}")),
            self.eui64.map(|eui64| format!("eui64 {eui64}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() {
            return formatter.write_str("no identifier");
        }
        formatter.write_str(&parts.join(", "))
    }
}

impl Uuid {
    /// A UUID of these bytes, unless they are all zero.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// The bytes in the order in which they are written.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl Nsid {
    /// The namespace of this number; none has the number zero.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

impl FromStr for Uuid {
    type Err = ParseIdentityError;

    /// Reads the form 8-4-4-4-12 in hexadecimal digits of either case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = parse_uuid_bytes(text)
            .ok_or_else(|| form(text, "a uuid (8-4-4-4-12 hexadecimal digits)"))?;
        Self::from_bytes(bytes).ok_or(ParseIdentityError::Zero)
    }
}

impl FromStr for Nguid {
    type Err = ParseIdentityError;

    /// Reads 32 hexadecimal digits, plain or grouped as a UUID, which is how the attribute `nguid` prints them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = parse_uuid_bytes(text).or_else(|| parse_hex(text));
        let bytes = bytes.ok_or_else(|| form(text, "an nguid (32 hexadecimal digits)"))?;
        if bytes == [0; 16] {
            Err(ParseIdentityError::Zero)
        } else {
            Ok(Self(bytes))
        }
    }
}

impl FromStr for Eui64 {
    type Err = ParseIdentityError;

    /// Reads 16 hexadecimal digits, plain or as byte pairs with spaces between, which is how the attribute `eui` prints them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = parse_spaced(text).or_else(|| parse_hex(text));
        let bytes = bytes.ok_or_else(|| form(text, "an eui64 (16 hexadecimal digits)"))?;
        if bytes == [0; 8] {
            Err(ParseIdentityError::Zero)
        } else {
            Ok(Self(bytes))
        }
    }
}

impl FromStr for Nsid {
    type Err = ParseIdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number: u32 =
            decimal(text).ok_or_else(|| form(text, "a namespace id (decimal, 32 bits)"))?;
        Self::new(number).ok_or(ParseIdentityError::Zero)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let dash = if matches!(index, 4 | 6 | 8 | 10) {
                "-"
            } else {
                ""
            };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Nguid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for Eui64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for Nsid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Wwid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The bytes of a text of the form 8-4-4-4-12, also if they are all zero.
pub(crate) fn parse_uuid_bytes(text: &str) -> Option<[u8; 16]> {
    let groups = text.split('-');
    let lengths = groups.clone().map(str::len);
    if !lengths.eq([8, 4, 4, 4, 12]) {
        return None;
    }
    parse_hex(&groups.collect::<String>())
}

fn parse_spaced(text: &str) -> Option<[u8; 8]> {
    let pairs = text.split(' ');
    if !pairs.clone().all(|pair| pair.len() == 2) {
        return None;
    }
    parse_hex(&pairs.collect::<String>())
}

fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = hex_digit(*high)? << 4 | hex_digit(*low)?;
    }
    Some(bytes)
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn form(text: &str, form: &'static str) -> ParseIdentityError {
    ParseIdentityError::Form {
        text: text.to_owned(),
        form,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "0f01fb42-9f7f-4856-b0b3-51e60b8de349";

    #[test]
    fn a_uuid_is_read_in_either_case_and_written_in_lower_case() {
        let uuid: Uuid = UUID.parse().expect("a uuid");
        assert_eq!(uuid.to_string(), UUID);
        assert_eq!(UUID.to_uppercase().parse(), Ok(uuid));
        assert_eq!(Uuid::from_bytes(*uuid.as_bytes()), Some(uuid));
    }

    #[test]
    fn an_nguid_has_two_spellings() {
        let nguid: Nguid = UUID.parse().expect("the attribute's form");
        assert_eq!(nguid.to_string(), UUID.replace('-', ""));
        assert_eq!(nguid.to_string().parse(), Ok(nguid));
    }

    #[test]
    fn an_eui64_has_two_spellings() {
        let eui: Eui64 = "00 25 38 b1 91 b0 2a 3c"
            .parse()
            .expect("the attribute's form");
        assert_eq!(eui.to_string(), "002538b191b02a3c");
        assert_eq!(eui.to_string().parse(), Ok(eui));
    }

    #[test]
    fn zeros_identify_nothing() {
        let zeros = "00000000-0000-0000-0000-000000000000";
        assert_eq!(zeros.parse::<Uuid>(), Err(ParseIdentityError::Zero));
        assert_eq!(zeros.parse::<Nguid>(), Err(ParseIdentityError::Zero));
        assert_eq!(
            "00 00 00 00 00 00 00 00".parse::<Eui64>(),
            Err(ParseIdentityError::Zero)
        );
        assert_eq!("0".parse::<Nsid>(), Err(ParseIdentityError::Zero));
        assert_eq!(Uuid::from_bytes([0; 16]), None);
    }

    #[test]
    fn garbage_is_refused_by_every_identifier() {
        for text in [
            "",
            "x",
            "0f01fb429f7f4856b0b351e60b8de34",
            "0f01fb42-9f7f-4856-b0b3-51e60b8de34g",
            "0f01fb4-29f7f-4856-b0b3-51e60b8de349",
            "{0f01fb42-9f7f-4856-b0b3-51e60b8de349}",
            "\u{e9}\u{e9}",
            "-1",
            "+1",
            "01",
        ] {
            assert!(
                matches!(text.parse::<Uuid>(), Err(ParseIdentityError::Form { .. })),
                "{text}"
            );
            assert!(
                matches!(text.parse::<Nguid>(), Err(ParseIdentityError::Form { .. })),
                "{text}"
            );
            assert!(
                matches!(text.parse::<Eui64>(), Err(ParseIdentityError::Form { .. })),
                "{text}"
            );
            assert!(
                matches!(text.parse::<Nsid>(), Err(ParseIdentityError::Form { .. })),
                "{text}"
            );
        }
        assert_eq!("4294967294".parse::<Nsid>().map(Nsid::get), Ok(0xffff_fffe));
    }

    #[test]
    fn an_identity_is_told_by_what_there_is() {
        let nsid = "7".parse().ok();
        let known = NamespaceIdentity::new(nsid, UUID.parse().ok(), None, None, None);
        assert_eq!(known.to_string(), format!("nsid 7, uuid {UUID}"));
        assert_eq!(NamespaceIdentity::default().to_string(), "no identifier");
    }

    #[test]
    fn a_uuid_that_repeats_the_nguid_is_one_only_if_the_wwid_says_so() {
        let (uuid, nguid): (Option<Uuid>, _) = (UUID.parse().ok(), UUID.parse().ok());
        let with = |wwid: &str| {
            NamespaceIdentity::new(None, uuid, nguid, None, Some(&Wwid(wwid.to_owned())))
        };
        let fallback = with(&format!("eui.{}", UUID.replace('-', "")));
        assert_eq!((fallback.uuid, fallback.nguid), (None, nguid));
        let both = with(&format!("uuid.{UUID}"));
        assert_eq!((both.uuid, both.nguid), (uuid, nguid));
        let unsaid = NamespaceIdentity::new(None, uuid, nguid, None, None);
        assert_eq!(unsaid, fallback);
        assert!(fallback.is_unique() && both.is_unique());
        let other = "11111111-9f7f-4856-b0b3-51e60b8de349".parse().ok();
        assert_eq!(
            NamespaceIdentity::new(None, uuid, other, None, None).uuid,
            uuid
        );
        assert!(!NamespaceIdentity::new("1".parse().ok(), None, None, None, None).is_unique());
    }

    #[test]
    fn two_identities_are_of_one_namespace_only_if_nothing_tells_them_apart() {
        let first = NamespaceIdentity::new(Nsid::new(1), None, UUID.parse().ok(), None, None);
        let both = NamespaceIdentity {
            uuid: UUID.parse().ok(),
            ..first
        };
        assert!(first.is_of_same(&first) && first.is_of_same(&both) && both.is_of_same(&first));
        let other = "11111111-9f7f-4856-b0b3-51e60b8de349";
        let others = [
            NamespaceIdentity {
                nsid: Nsid::new(2),
                ..both
            },
            NamespaceIdentity {
                uuid: other.parse().ok(),
                ..both
            },
            NamespaceIdentity {
                nguid: other.parse().ok(),
                ..both
            },
            // A UUID alone is not an NGUID of the same digits.
            NamespaceIdentity {
                nguid: None,
                ..both
            },
        ];
        for different in others {
            assert!(!first.is_of_same(&different), "{different}");
            assert!(!both.is_of_same(&different), "{different}");
        }
    }

    #[test]
    fn the_uuid_attribute_shows_the_uuid_or_for_want_of_one_the_nguid() {
        let (uuid, other): (Uuid, Uuid) = (
            UUID.parse().expect("a uuid"),
            "11111111-9f7f-4856-b0b3-51e60b8de349"
                .parse()
                .expect("a uuid"),
        );
        let nguid_alone = NamespaceIdentity::new(None, None, UUID.parse().ok(), None, None);
        assert!(nguid_alone.shows_uuid(&uuid) && !nguid_alone.shows_uuid(&other));
        let both = NamespaceIdentity::new(None, Some(other), UUID.parse().ok(), None, None);
        assert!(both.shows_uuid(&other) && !both.shows_uuid(&uuid));
        assert!(!NamespaceIdentity::default().shows_uuid(&uuid));
    }
}
