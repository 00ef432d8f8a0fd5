//! The name of a map, made from those of the driver and of the volume.

use std::fmt;
use std::str::FromStr;

use ring::digest::{Context, SHA256};
use thiserror::Error;

/// What the UUID of every map of ours begins with. multipathd takes only maps whose UUID begins with
/// `mpath-`, LVM those with `LVM-`.
const UUID_PREFIX: &str = "NVMEOF-CSI-";
const NAME_PREFIX: &str = "nvmeof-";
/// What the name of a map ends with that somebody lets go.
const LET_GO: &str = "-let-go";

/// Which map: 32 hexadecimal digits, or the 16 that earlier versions gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MapId(Digits);

/// As bytes, most significant first: errors carry them, and shall stay small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Digits {
    /// FNV-1a of the volume handle alone. Nothing makes such a one any more, but a record may name it.
    Short([u8; 8]),
    Long([u8; 16]),
}

/// A text that is no map of ours.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is not the UUID of a map of this program: {UUID_PREFIX} and 32 or 16 hexadecimal digits"
)]
pub struct ParseMapIdError(String);

impl MapId {
    /// The map of the volume with this handle of this driver. It is the same at every stage and on every node, so that
    /// a map is found again when its record is lost; no other driver of the node has it, and nobody finds another handle
    /// with the same one: the first 128 bits of SHA-256 of both (FIPS 180-4).
    #[must_use]
    pub fn of_volume(driver: &str, volume_id: &str) -> MapId {
        let mut hash = Context::new(&SHA256);
        // No name of a driver has a zero in it.
        for part in [driver.as_bytes(), &[0], volume_id.as_bytes()] {
            hash.update(part);
        }
        let digest = hash.finish();
        let mut first = [0; 16];
        first.copy_from_slice(&digest.as_ref()[..16]);
        MapId(Digits::Long(first))
    }

    /// Name of the map, as `dmsetup` lists it.
    #[must_use]
    pub fn name(self) -> String {
        format!("{NAME_PREFIX}{}", self.0)
    }

    /// Its name from the moment on in which somebody lets it go. The kernel keeps it for exactly as long as the map is
    /// there, whoever ends meanwhile, and no file has to be written for it.
    #[must_use]
    pub fn let_go_name(self) -> String {
        self.name() + LET_GO
    }

    /// UUID of the map.
    #[must_use]
    pub fn uuid(self) -> String {
        self.to_string()
    }
}

/// The UUID.
impl fmt::Display for MapId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{UUID_PREFIX}{}", self.0)
    }
}

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Digits::Short(bytes) => write!(f, "{:016x}", u64::from_be_bytes(*bytes)),
            Digits::Long(bytes) => write!(f, "{:032x}", u128::from_be_bytes(*bytes)),
        }
    }
}

/// From the UUID.
impl FromStr for MapId {
    type Err = ParseMapIdError;

    fn from_str(text: &str) -> Result<MapId, ParseMapIdError> {
        let digits = text.strip_prefix(UUID_PREFIX).and_then(|digits| {
            let number = match digits.len() {
                16 => Digits::Short(u64::from_str_radix(digits, 16).ok()?.to_be_bytes()),
                _ => Digits::Long(u128::from_str_radix(digits, 16).ok()?.to_be_bytes()),
            };
            (number.to_string() == digits).then_some(number)
        });
        let error = || ParseMapIdError(text.to_owned());
        digits.map(MapId).ok_or_else(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_over_driver_and_volume() {
        // printf 'csi.example\0a' | sha256sum
        let map = MapId::of_volume("csi.example", "a");
        assert_eq!(map.name(), "nvmeof-84c69cc87f77594f3b5630397680623c");
        let others = [
            ("csi.other", "a"),
            ("csi.example", "b"),
            ("csi.examplea", ""),
        ];
        for (driver, volume) in others {
            assert_ne!(MapId::of_volume(driver, volume), map, "{driver} {volume}");
        }
    }

    #[test]
    fn a_map_is_known_by_its_uuid() {
        let map = MapId::of_volume("csi.example", "a");
        assert_eq!(map.let_go_name(), map.name() + "-let-go");
        assert_eq!(map.uuid().parse(), Ok(map));
    }

    #[test]
    fn a_map_that_an_earlier_version_made_keeps_its_name() {
        let map: MapId = "NVMEOF-CSI-af63dc4c8601ec8c"
            .parse()
            .expect("a map of ours");
        assert_eq!(map.name(), "nvmeof-af63dc4c8601ec8c");
        assert_eq!(map.let_go_name(), "nvmeof-af63dc4c8601ec8c-let-go");
        assert_eq!(map.uuid(), "NVMEOF-CSI-af63dc4c8601ec8c");
    }

    #[test]
    fn maps_of_others_are_not_ours() {
        for text in [
            "",
            "NVMEOF-CSI-",
            "NVMEOF-CSI-af63dc4c8601ec8",
            "NVMEOF-CSI-af63dc4c8601ec8c0",
            "NVMEOF-CSI-AF63DC4C8601EC8C",
            "NVMEOF-CSI-+f63dc4c8601ec8c",
            "NVMEOF-CSI-af63dc4c8601ec8caf63dc4c8601ec8",
            "NVMEOF-CSI-af63dc4c8601ec8caf63dc4c8601ec8c0",
            "NVMEOF-CSI-AF63dc4c8601ec8caf63dc4c8601ec8c",
            "LVM-af63dc4c8601ec8c",
            "mpath-af63dc4c8601ec8c",
        ] {
            assert!(text.parse::<MapId>().is_err(), "{text}");
        }
    }
}
