//! Where kubelet keeps what it asks of a driver, as kubelet 1.37 makes these paths: `pkg/volume/csi`
//! (`csi_attacher.go`, `csi_mounter.go`, `csi_block.go`, `csi_util.go`). Every test asks at these.

use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};

/// The directory of one kubelet.
#[derive(Debug, Clone)]
pub(crate) struct Kubelet {
    directory: PathBuf,
    driver: String,
}

impl Kubelet {
    /// kubelet of this directory, which asks the driver of this name.
    pub(crate) fn at(directory: &Path, driver: &str) -> Kubelet {
        Kubelet {
            directory: directory.to_owned(),
            driver: driver.to_owned(),
        }
    }

    /// Where a filesystem is staged (`makeDeviceMountPath`).
    pub(crate) fn staging(&self, volume_handle: &str) -> PathBuf {
        let sum = digest(&SHA256, volume_handle.as_bytes());
        let hex: String = sum.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        let driver = self.plugin().join(&self.driver);
        driver.join(hex).join("globalmount")
    }

    /// Where a raw disk is staged (`GetStagingPath`).
    pub(crate) fn block_staging(&self, pv: &str) -> PathBuf {
        self.devices().join("staging").join(pv)
    }

    /// Where a pod finds a filesystem, and where it is asked about and grown (`GetPath`).
    pub(crate) fn target(&self, pod_uid: &str, pv: &str) -> PathBuf {
        let pod = self.directory.join("pods").join(pod_uid);
        let volumes = pod.join("volumes/kubernetes.io~csi");
        volumes.join(pv).join("mount")
    }

    /// Where a raw disk is published for a pod, and where it is grown (`getPublishPath`).
    pub(crate) fn block_target(&self, pod_uid: &str, pv: &str) -> PathBuf {
        self.devices().join("publish").join(pv).join(pod_uid)
    }

    /// Where kubelet has its own nodes of a raw disk (`getVolumeDevicePluginDir`).
    pub(crate) fn block_nodes(&self, pv: &str) -> PathBuf {
        self.devices().join(pv).join("dev")
    }

    /// Where a raw disk is asked about: kubelet's own bind mount of what was published
    /// (`MapBlockVolume`).
    pub(crate) fn block_node(&self, pod_uid: &str, pv: &str) -> PathBuf {
        self.block_nodes(pv).join(pod_uid)
    }

    fn devices(&self) -> PathBuf {
        self.plugin().join("volumeDevices")
    }

    fn plugin(&self) -> PathBuf {
        self.directory.join("plugins/kubernetes.io/csi")
    }
}
