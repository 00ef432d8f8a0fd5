//! A disk as the listings show it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nvme_sysfs::{Namespace, NamespaceIdentity, NamespaceKind, Subsystem, Tree, Unknown};
use serde::Serialize;

use super::device::human_size;
use super::line::write_line;

/// One disk.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Disk {
    /// Path of its node, below the root.
    device: PathBuf,
    /// Name of its subsystem.
    nqn: String,
    model: Option<String>,
    serial: Option<String>,
    firmware: Option<String>,
    nsid: Option<u32>,
    uuid: Option<String>,
    nguid: Option<String>,
    eui64: Option<String>,
    size_bytes: u64,
    block_bytes: Option<u32>,
    metadata_bytes: Option<u32>,
    /// Whether it refuses writes.
    read_only: Option<bool>,
    /// The controllers through which it is reached, or would be if they were live.
    controllers: Vec<String>,
    /// What of it cannot be read.
    unknown: Vec<String>,
    #[serde(skip)]
    identifiers: String,
}

impl Disk {
    /// What sysfs shows of a disk.
    pub(super) fn of(
        root: &Path,
        (tree, subsystem): (&Tree, &Subsystem),
        disk: &Namespace,
    ) -> Disk {
        let identity = &disk.identity;
        // A drive's subsystem has them, too; a disk of one controller is told by that one.
        let own = match disk.kind {
            NamespaceKind::Disk(owner) => tree.find_controller(owner),
            NamespaceKind::Head => None,
        };
        let firmware = own.and_then(|own| own.firmware_rev.as_ref());
        Disk {
            device: root.join("dev").join(&disk.name),
            nqn: subsystem.nqn_text.clone(),
            model: subsystem.model.clone(),
            serial: subsystem.serial.clone(),
            firmware: firmware.or(subsystem.firmware_rev.as_ref()).cloned(),
            nsid: identity.nsid.map(|nsid| nsid.get()),
            uuid: identity.uuid.map(|uuid| uuid.to_string()),
            nguid: identity.nguid.map(|nguid| nguid.to_string()),
            eui64: identity.eui64.map(|eui64| eui64.to_string()),
            size_bytes: disk.size_bytes,
            block_bytes: disk.logical_block_size,
            metadata_bytes: disk.metadata_bytes,
            read_only: disk.read_only,
            controllers: tree
                .carriers_of(disk)
                .map(|carrier| carrier.instance.to_string())
                .collect(),
            unknown: disk.unknown.iter().map(Unknown::to_string).collect(),
            identifiers: identifiers(identity),
        }
    }

    /// The line for people, and what of it cannot be read.
    pub(super) fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        let size = human_size(self.size_bytes);
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let format = match (self.block_bytes, self.metadata_bytes) {
            (Some(block), Some(metadata)) if metadata > 0 => format!("{block}+{metadata} B"),
            (Some(block), _) => format!("{block} B"),
            (None, _) => "-".to_owned(),
        };
        let read_only = match self.read_only {
            Some(true) => " read-only",
            Some(false) | None => "",
        };
        write_line(
            out,
            format_args!(
                "{} {size} {format} \"{}\" serial {}{}{read_only}",
                self.device.display(),
                or_dash(&self.model),
                or_dash(&self.serial),
                self.identifiers,
            ),
        )?;
        let mut unknown = self.unknown.iter();
        unknown.try_for_each(|unknown| write_line(out, format_args!("  unknown: {unknown}")))
    }
}

/// What tells the namespace from others, each behind its name.
pub(super) fn identifiers(identity: &NamespaceIdentity) -> String {
    let parts = [
        identity.nsid.map(|nsid| format!(" nsid {nsid}")),
        identity.uuid.map(|uuid| format!(" uuid {uuid}")),
        identity.nguid.map(|nguid| format!(" nguid {nguid}")),
        identity.eui64.map(|eui64| format!(" eui64 {eui64}")),
    ];
    parts.into_iter().flatten().collect()
}
