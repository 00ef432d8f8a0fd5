//! The machine's UUID as its firmware tells it.
//!
//! Sources, in libnvme's order: `sys/class/dmi/id/product_uuid` (readable by root only),
//! `sys/firmware/dmi/entries/1-0/raw` (the SMBIOS System Information structure, its UUID at
//! byte 8), `proc/device-tree/ibm,partition-uuid`. Firmware that has none says all zeros, or all
//! ones for "present but not set" (SMBIOS 3.0, 7.2.1): neither identifies a machine.

use std::fs;
use std::path::Path;

use nvme_sysfs::Uuid;

use crate::identity::IdentitySource;

/// Where the UUID stands in the System Information structure.
const UUID_OFFSET: usize = 8;

/// The machine's UUID and its source. A source that cannot be read counts as absent: without
/// root none can, and the next one or a stored identity takes its place.
pub(crate) fn machine_uuid(root: &Path) -> Option<(Uuid, IdentitySource)> {
    product_uuid(root)
        .map(|uuid| (uuid, IdentitySource::ProductUuid))
        .or_else(|| dmi_entry(root).map(|uuid| (uuid, IdentitySource::DmiEntry)))
        .or_else(|| device_tree(root).map(|uuid| (uuid, IdentitySource::DeviceTree)))
}

fn product_uuid(root: &Path) -> Option<Uuid> {
    let text = fs::read_to_string(root.join("sys/class/dmi/id/product_uuid")).ok()?;
    usable(text.trim().parse().ok()?)
}

fn dmi_entry(root: &Path) -> Option<Uuid> {
    let raw = fs::read(root.join("sys/firmware/dmi/entries/1-0/raw")).ok()?;
    usable(uuid_of_system_information(&raw)?)
}

fn device_tree(root: &Path) -> Option<Uuid> {
    let text = fs::read_to_string(root.join("proc/device-tree/ibm,partition-uuid")).ok()?;
    // Device-tree strings end in a NUL.
    usable(text.trim_end_matches('\0').trim().parse().ok()?)
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
