//! The name of the VolumeAttachment that Kubernetes makes for a volume and a node: `csi-` and the
//! SHA-256 of handle, driver and node (`getAttachmentName` in pkg/volume/csi/csi_attacher.go).
//!
//! kubelet looks the object up by this name, so it is part of what Kubernetes promises to itself. It
//! is needed only where the PersistentVolume is gone, which would tell the handle.

use std::fmt::Write;

use ring::digest::{SHA256, digest};

/// The name for this volume on this node.
pub(super) fn attachment_name(handle: &str, driver: &str, node: &str) -> String {
    let text = format!("{handle}{driver}{node}");
    let mut name = "csi-".to_owned();
    for byte in digest(&SHA256, text.as_bytes()).as_ref() {
        // Writing to a String never fails.
        let _written = write!(name, "{byte:02x}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_one_that_kubernetes_makes() {
        // printf 'volume-1direct.nvmeof.csiworker-1' | sha256sum
        assert_eq!(
            attachment_name("volume-1", "direct.nvmeof.csi", "worker-1"),
            "csi-5255c2f8c0c43715877938b07d79a53a2fd04f845d3f41d50d0d325abbb87c0e"
        );
    }
}
