//! Where a caller may name a volume, and what the names in such a path mean.
//!
//! Not only where it is staged and published: kubelet asks about a raw disk at a bind mount of its own
//! of what it had published (`pkg/volume/csi/csi_block.go`, `MapBlockVolume`), and resolves links in its
//! directory before it asks to expand one. Any other place is judged by the disk that the topmost mount shows there.
//! Invariant: a path is compared with records and the mount table, and never given to the kernel.

use std::path::{Path, PathBuf};

use super::capability::AccessType;
use super::mounts::{is_node, shows};
use super::record::StageRecord;
use crate::host::mountinfo::{Mount, MountTable};

/// What is at a path that a caller names.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    /// The volume is staged or published there, or its filesystem is mounted there.
    Own,
    /// Somebody has mounted the node of a raw disk there: the volume's, or what was it.
    Node(Option<&'a Mount>),
}

/// What of the volume is at this path, if anything is.
pub(super) fn find_place<'a>(
    record: &StageRecord,
    mounts: &'a MountTable,
    path: &Path,
) -> Option<Place<'a>> {
    if record.staging_target_path == path || record.find_publication(path).is_some() {
        return Some(Place::Own);
    }
    let mount = mounts.find_mount_at(path);
    let disk = &record.staged()?.disk;
    let shown = mount.filter(|mount| shows(mount, disk));
    match record.capability.access {
        AccessType::Block => {
            let is_node = shown.is_some() || is_kubelets(record, path);
            is_node.then_some(Place::Node(mount))
        }
        // The node of its disk is no filesystem.
        AccessType::Filesystem { .. } => {
            let shown = shown.filter(|mount| !is_node(mount));
            shown.map(|_| Place::Own)
        }
    }
}

/// Where kubelet has the node that was published at `target`: `volumeDevices/PV/dev/POD_UID` beside
/// `volumeDevices/publish/PV/POD_UID`.
pub(super) fn kubelet_node(target: &Path) -> Option<PathBuf> {
    let pod = target.file_name()?;
    let pv = target.parent()?;
    let publish = pv.parent()?;
    let devices = publish.parent()?;
    let is_kubelets = publish.ends_with("publish") && devices.ends_with("volumeDevices");
    is_kubelets.then(|| {
        devices
            .join(pv.file_name().unwrap_or_default())
            .join("dev")
            .join(pod)
    })
}

/// The name of the PersistentVolume in the path at which kubelet has a volume staged or published. The
/// path of a staged filesystem does not hold it.
pub(super) fn pv_of(path: &Path) -> Option<String> {
    let parent = path.parent()?;
    let pv = if parent.ends_with("volumeDevices/staging") {
        path.file_name()
    } else if parent.parent()?.ends_with("volumeDevices/publish")
        || path.ends_with("mount") && parent.parent()?.ends_with("volumes/kubernetes.io~csi")
    {
        parent.file_name()
    } else {
        None
    };
    pv?.to_str().map(str::to_owned)
}

fn is_kubelets(record: &StageRecord, path: &Path) -> bool {
    let nodes = record.publications.iter();
    let mut nodes = nodes.filter_map(|publication| kubelet_node(&publication.target_path));
    nodes.any(|node| node == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICES: &str = "/var/lib/kubelet/plugins/kubernetes.io/csi/volumeDevices";

    #[test]
    fn kubelet_has_a_node_beside_what_it_had_published() {
        let node = kubelet_node(&Path::new(DEVICES).join("publish/pv-1/uid-1"));
        assert_eq!(node, Some(Path::new(DEVICES).join("pv-1/dev/uid-1")));
        // A PersistentVolume may have this name.
        let node = kubelet_node(&Path::new(DEVICES).join("publish/publish/uid-1"));
        assert_eq!(node, Some(Path::new(DEVICES).join("publish/dev/uid-1")));
    }

    #[test]
    fn the_name_of_a_persistent_volume_stands_in_paths_of_kubelet() {
        let pod = Path::new("/var/lib/kubelet/pods/uid-1/volumes/kubernetes.io~csi/pv-1/mount");
        for path in [
            pod,
            &Path::new(DEVICES).join("publish/pv-1/uid-1"),
            &Path::new(DEVICES).join("staging/pv-1"),
        ] {
            assert_eq!(pv_of(path).as_deref(), Some("pv-1"), "{path:?}");
        }
        for path in [
            "/",
            "/mount",
            "/csi/test.csi/0a1b/globalmount",
            "/pv-1/mount",
        ] {
            assert_eq!(pv_of(Path::new(path)), None, "{path}");
        }
    }

    #[test]
    fn no_other_path_has_one() {
        for path in [
            "/",
            "/publish/pv-1/uid-1",
            "/var/lib/kubelet/pods/uid-1/volumes/kubernetes.io~csi/pv-1/mount",
            "/volumeDevices/staging/pv-1/uid-1",
            "/volumeDevices/publish/uid-1",
        ] {
            assert_eq!(kubelet_node(Path::new(path)), None, "{path}");
        }
    }
}
