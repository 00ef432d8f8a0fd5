//! The machine's UUID as its firmware tells it.
//!
//! Sources, in libnvme's order: `sys/class/dmi/id/product_uuid` (readable by root only),
//! `sys/firmware/dmi/entries/1-0/raw` (the SMBIOS System Information structure, its UUID at
//! byte 8), `proc/device-tree/ibm,partition-uuid`. Firmware that has none says all zeros, or all
//! ones for "present but not set" (SMBIOS 3.0, 7.2.1): neither identifies a machine.

use std::fs;
use std::path::Path;

use nvme_sysfs::{Uuid, without_filling};

/// Where the UUID stands in the System Information structure.
const UUID_OFFSET: usize = 8;

/// Where a host identity comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentitySource {
    /// `/etc/nvme/hostnqn`, `/etc/nvme/hostid` or both.
    Configured,
    /// `/sys/class/dmi/id/product_uuid`.
    ProductUuid,
    /// `/sys/firmware/dmi/entries/1-0/raw`.
    DmiEntry,
    /// `/proc/device-tree/ibm,partition-uuid`.
    DeviceTree,
    /// Made by this call and stored in `/etc/nvme`.
    Generated,
}

/// The UUID that the firmware gives the machine below `root`, and its source; `None` if it gives
/// none. A source that cannot be read counts as absent: without root none can, and the next one or
/// a stored identity takes its place.
pub fn machine_uuid(root: impl AsRef<Path>) -> Option<(Uuid, IdentitySource)> {
    let root = root.as_ref();
    product_uuid(root)
        .map(|uuid| (uuid, IdentitySource::ProductUuid))
        .or_else(|| dmi_entry(root).map(|uuid| (uuid, IdentitySource::DmiEntry)))
        .or_else(|| device_tree(root).map(|uuid| (uuid, IdentitySource::DeviceTree)))
}

fn product_uuid(root: &Path) -> Option<Uuid> {
    text_uuid(&root.join("sys/class/dmi/id/product_uuid"))
}

fn dmi_entry(root: &Path) -> Option<Uuid> {
    let raw = fs::read(root.join("sys/firmware/dmi/entries/1-0/raw")).ok()?;
    usable(uuid_of_system_information(&raw)?)
}

fn device_tree(root: &Path) -> Option<Uuid> {
    // Device-tree strings end in a NUL.
    text_uuid(&root.join("proc/device-tree/ibm,partition-uuid"))
}

fn text_uuid(path: &Path) -> Option<Uuid> {
    let bytes = fs::read(path).ok()?;
    let text = str::from_utf8(without_filling(&bytes)).ok()?;
    usable(text.trim().parse().ok()?)
}

/// The UUID of an SMBIOS type 1 structure. Its first three fields are little-endian since SMBIOS 2.6.
fn uuid_of_system_information(raw: &[u8]) -> Option<Uuid> {
    let field = raw.get(UUID_OFFSET..UUID_OFFSET + 16)?;
    let mut bytes: [u8; 16] = field.try_into().ok()?;
    bytes[0..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    Uuid::from_bytes(bytes)
}

fn usable(uuid: Uuid) -> Option<Uuid> {
    Some(uuid).filter(|uuid| uuid.as_bytes() != &[0xff; 16])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::fixture::put;

    const UUID: &str = "00112233-4455-6677-8899-aabbccddeeff";

    fn root() -> TempDir {
        tempfile::tempdir().expect("a temporary directory")
    }

    fn put_raw(root: &TempDir, uuid: [u8; 16]) {
        put(root, "sys/firmware/dmi/entries/1-0/raw", "");
        let mut raw = vec![1, 27, 1, 0, 1, 2, 3, 4];
        raw.extend(uuid);
        let path = root.path().join("sys/firmware/dmi/entries/1-0/raw");
        fs::write(path, raw).expect("a file");
    }

    fn found(root: &TempDir) -> Option<(String, IdentitySource)> {
        machine_uuid(root.path()).map(|(uuid, source)| (uuid.to_string(), source))
    }

    #[test]
    fn product_uuid_comes_before_the_raw_entry_and_the_device_tree() {
        let root = root();
        assert_eq!(found(&root), None);
        put(
            &root,
            "proc/device-tree/ibm,partition-uuid",
            &format!("{UUID}\0"),
        );
        assert_eq!(
            found(&root),
            Some((UUID.to_owned(), IdentitySource::DeviceTree))
        );
        put_raw(&root, [0xab; 16]);
        let (_, source) = found(&root).expect("a UUID");
        assert_eq!(source, IdentitySource::DmiEntry);
        put(&root, "sys/class/dmi/id/product_uuid", &format!("{UUID}\n"));
        assert_eq!(
            found(&root),
            Some((UUID.to_owned(), IdentitySource::ProductUuid))
        );
    }

    #[test]
    fn a_page_filled_up_with_nul_bytes_says_what_stands_before_them() {
        let root = root();
        let page = format!("{UUID}\n{}", "\0".repeat(4000));
        put(&root, "sys/class/dmi/id/product_uuid", &page);
        let expected = (UUID.to_owned(), IdentitySource::ProductUuid);
        assert_eq!(found(&root), Some(expected));
    }

    #[test]
    fn the_first_three_fields_of_the_raw_entry_are_little_endian() {
        let root = root();
        put_raw(
            &root,
            [
                0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd,
                0xee, 0xff,
            ],
        );
        assert_eq!(
            found(&root),
            Some((UUID.to_owned(), IdentitySource::DmiEntry))
        );
    }

    #[test]
    fn a_uuid_that_is_not_set_or_cut_short_identifies_nothing() {
        let root = root();
        for bytes in [[0; 16], [0xff; 16]] {
            put_raw(&root, bytes);
            assert_eq!(found(&root), None);
        }
        put(&root, "sys/firmware/dmi/entries/1-0/raw", "too short");
        put(&root, "sys/class/dmi/id/product_uuid", "Not Settable\n");
        put(&root, "proc/device-tree/ibm,partition-uuid", "");
        assert_eq!(found(&root), None);
        let zeros = "00000000-0000-0000-0000-000000000000\n";
        put(&root, "sys/class/dmi/id/product_uuid", zeros);
        assert_eq!(found(&root), None);
    }
}
