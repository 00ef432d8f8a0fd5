//! The name of a map, made from the volume's.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// What the UUID of every map of ours begins with. multipathd takes only maps whose UUID begins with
/// `mpath-`, LVM those with `LVM-`.
const UUID_PREFIX: &str = "NVMEOF-CSI-";
const NAME_PREFIX: &str = "nvmeof-";
/// What the name of a map ends with that somebody lets go.
const LET_GO: &str = "-let-go";

/// Which map: 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MapId(u64);

/// A text that is no map of ours.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not the UUID of a map of this program: {UUID_PREFIX} and 16 hexadecimal digits")]
pub struct ParseMapIdError(String);

impl MapId {
    /// The map of the volume with this ID. It is the same at every stage and on every node, so that a
    /// map is found again when its record is lost.
    #[must_use]
    pub fn of_volume(volume_id: &str) -> MapId {
        MapId(fnv1a(volume_id.as_bytes()))
    }

    /// Name of the map, as `dmsetup` lists it.
    #[must_use]
    pub fn name(self) -> String {
        format!("{NAME_PREFIX}{:016x}", self.0)
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
        write!(f, "{UUID_PREFIX}{:016x}", self.0)
    }
}

/// From the UUID.
impl FromStr for MapId {
    type Err = ParseMapIdError;

    fn from_str(text: &str) -> Result<MapId, ParseMapIdError> {
        let number = text.strip_prefix(UUID_PREFIX).and_then(|digits| {
            let number = u64::from_str_radix(digits, 16).ok()?;
            (format!("{number:016x}") == digits).then_some(number)
        });
        let error = || ParseMapIdError(text.to_owned());
        number.map(MapId).ok_or_else(error)
    }
}

/// FNV-1a, 64 bits (draft-eastlake-fnv). A name must only be short, fixed for good and unlikely to
/// be another volume's; the record says whose map it is.
fn fnv1a(bytes: &[u8]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    bytes.iter().fold(OFFSET, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_map_is_known_by_its_uuid() {
        let map = MapId::of_volume("a");
        assert_eq!(map.name(), "nvmeof-af63dc4c8601ec8c");
        assert_eq!(map.let_go_name(), "nvmeof-af63dc4c8601ec8c-let-go");
        assert_eq!(map.uuid(), "NVMEOF-CSI-af63dc4c8601ec8c");
        assert_eq!(map.uuid().parse(), Ok(map));
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
            "LVM-af63dc4c8601ec8c",
            "mpath-af63dc4c8601ec8c",
        ] {
            assert!(text.parse::<MapId>().is_err(), "{text}");
        }
    }
}
