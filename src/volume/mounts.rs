//! The mounts of this program: `/proc/self/mountinfo`.
//!
//! Kubelet's directory is mounted into our container with bidirectional propagation, so what is
//! mounted there is in our own table. Invariant: nothing but the table is asked; a mount may be dead.

pub(super) mod error;

use std::fs;
use std::path::Path;

use nvme_sysfs::{Namespace, Tree};

use super::ext4_errors::note_errors;
use super::identity::Disk;
use crate::host::MountAccess;
use crate::host::attribute::AttributeError;
use crate::host::dm::Map;
use crate::host::mountinfo::{Mount, MountTable};
pub use error::{ForeignMountError, ReadMountsError};

/// The mount table below `root`, with the errors that the kernel has found.
pub(super) fn read_mounts(root: &Path) -> Result<MountTable, ReadMountsError> {
    let path = root.join("proc/self/mountinfo");
    let text = fs::read(&path).map_err(|source| AttributeError::new("read", &path, source))?;
    let mut table =
        MountTable::parse(&text).map_err(|source| ReadMountsError::Parse { path, source })?;
    note_errors(root, &mut table)?;
    Ok(table)
}

/// Whether a mount shows this disk: its filesystem, or its device node.
pub(super) fn shows(mount: &Mount, disk: &Disk) -> bool {
    match node_name(mount) {
        Some(name) => name == disk.name,
        None => mount.dev == disk.dev,
    }
}

/// Whether a mount shows some whole NVMe disk, alive or dead: a filesystem by the device that it was
/// mounted from, a node by its name.
pub(super) fn shows_nvme(mount: &Mount) -> bool {
    let source = || mount.source.file_name().and_then(|name| name.to_str());
    let name = node_name(mount).or_else(source);
    name.is_some_and(is_whole_disk)
}

/// `nvme0n1`, also where the node is gone; no partition, and nothing else that begins so.
fn is_whole_disk(name: &str) -> bool {
    let name = name.strip_suffix("//deleted").unwrap_or(name);
    let numbers = name.strip_prefix("nvme").and_then(|it| it.split_once('n'));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    numbers.is_some_and(|(subsystem, head)| is_number(subsystem) && is_number(head))
}

/// Whether a mount shows the disk of this map, or the node of a map that is gone.
pub(super) fn shows_map(mount: &Mount, map: Option<&Map>) -> bool {
    let removed = || {
        let node = node_name(mount);
        node.is_some_and(|name| name.starts_with("dm-") && name.ends_with("//deleted"))
    };
    map.is_some_and(|map| shows(mount, &Disk::of_map(map))) || removed()
}

/// The disk that a mount shows, if it is alive.
pub(super) fn find_shown<'a>(mount: &Mount, tree: &'a Tree) -> Option<&'a Namespace> {
    match node_name(mount) {
        Some(name) => tree.namespaces().find(|disk| disk.name == name),
        None => tree.find_namespace_by_dev(mount.dev),
    }
}

/// Whether files of the mount still reach a device, as far as the kernel says so: a filesystem that
/// was shut down stays that until it is mounted anew. ext4 shows it among its options; xfs was asked.
pub(super) fn is_shut_down(mount: &Mount) -> bool {
    mount.shut_down || mount.has_option("shutdown") || mount.has_option("emergency_ro")
}

/// Whether what is mounted serves nobody any more: shut down, or, where it is for writing, made
/// read-only by the kernel. On 6.1 an aborted ext4 shows nothing but that, and on 6.12 nothing but
/// its errors.
pub(super) fn is_dead(mount: &Mount, access: MountAccess) -> bool {
    let is_read_only = mount.super_options.split(',').any(|option| option == "ro");
    is_shut_down(mount) || access == MountAccess::ReadWrite && (is_read_only || mount.has_errors)
}

/// Whether a mount shows this disk, and serves whoever has it so.
pub(super) fn serves(mount: &Mount, disk: &Disk, access: MountAccess) -> bool {
    shows(mount, disk) && !is_dead(mount, access)
}

/// Whether a device node is mounted, alive or dead.
pub(super) fn is_node(mount: &Mount) -> bool {
    node_name(mount).is_some()
}

/// What a mount shows, for people: its node, or the number of its device.
pub(super) fn describe(mount: &Mount) -> String {
    node_name(mount).map_or_else(|| mount.dev.to_string(), str::to_owned)
}

/// The name of the device node that is mounted, if it is one: `/nvme0n1` of devtmpfs. A node whose
/// device is gone keeps its place with `//deleted` behind its name, and then it is no disk's.
fn node_name(mount: &Mount) -> Option<&str> {
    let name = mount.root.strip_prefix("/").ok()?.to_str()?;
    (mount.filesystem == "devtmpfs" && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_or_another_name_is_no_whole_disk() {
        for name in ["nvme0n1", "nvme12n34", "nvme0n1//deleted"] {
            assert!(is_whole_disk(name), "{name}");
        }
        for name in [
            "nvme0n1p2",
            "nvmefoo",
            "nvme0",
            "nvme0c0n1",
            "nvmen1",
            "nvme0n",
        ] {
            assert!(!is_whole_disk(name), "{name}");
        }
    }

    #[test]
    fn a_filesystem_that_the_kernel_made_read_only_is_dead_for_writers_alone() {
        let aborted = mount("40 1 259:1 / /m rw - ext4 /dev/nvme0n1 ro");
        assert!(is_dead(&aborted, MountAccess::ReadWrite));
        assert!(!is_dead(&aborted, MountAccess::ReadOnly));
        let mut alive = mount("40 1 259:1 / /m ro - ext4 /dev/nvme0n1 rw");
        assert!(!is_dead(&alive, MountAccess::ReadWrite));
        alive.has_errors = true;
        assert!(is_dead(&alive, MountAccess::ReadWrite));
        assert!(!is_dead(&alive, MountAccess::ReadOnly));
    }

    fn mount(line: &str) -> Mount {
        let table = MountTable::parse(line.as_bytes()).expect("a table");
        table.iter().next().expect("a mount").clone()
    }

    fn disk() -> Disk {
        Disk {
            name: "nvme0n1".to_owned(),
            dev: "259:1".parse().expect("a number"),
            diskseq: Some(9),
        }
    }

    #[test]
    fn a_filesystem_is_known_by_its_device_number() {
        let ours = mount("1 0 259:1 / /a rw - ext4 /dev/nvme0n1 rw");
        let others = mount("1 0 259:2 / /a rw - ext4 /dev/nvme0n1 rw");
        assert!(shows(&ours, &disk()) && !shows(&others, &disk()));
        assert!(shows_nvme(&ours) && shows_nvme(&others));
    }

    #[test]
    fn a_device_node_is_known_by_its_name_as_long_as_it_exists() {
        let node = mount("1 0 0:6 /nvme0n1 /a rw - devtmpfs udev rw");
        let deleted = mount("1 0 0:6 /nvme0n1//deleted /a rw - devtmpfs udev rw");
        assert!(shows(&node, &disk()) && !shows(&deleted, &disk()));
        assert!(shows_nvme(&node) && shows_nvme(&deleted));
    }

    #[test]
    fn mounts_of_others_are_not_nvme() {
        for line in [
            "1 0 0:22 / /a rw - tmpfs tmpfs rw",
            "1 0 8:1 / /a rw - ext4 /dev/sda1 rw",
            "1 0 0:6 / /dev rw - devtmpfs devtmpfs rw",
        ] {
            assert!(!shows_nvme(&mount(line)), "{line}");
        }
    }

    #[test]
    fn a_filesystem_that_was_shut_down_says_so() {
        assert!(is_shut_down(&mount(
            "1 0 259:1 / /a rw - ext4 /dev/nvme0n1 rw,shutdown"
        )));
        assert!(!is_shut_down(&mount(
            "1 0 259:1 / /a rw - ext4 /dev/nvme0n1 rw"
        )));
    }
}
