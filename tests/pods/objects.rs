//! The objects of a volume and a pod, as JSON.

use kernel_lab::cluster::settings::{self, TARGET_ADDRESS};
use serde_json::{Value, json};

use crate::cluster::DRIVER;
use crate::writer;

pub(crate) const VOLUMES: &str = "/api/v1/persistentvolumes";
/// Where the image keeps its program.
const PROGRAM: &str = "/program";
/// Where a pod has its filesystem, and its device.
const DIRECTORY: &str = "/data";
const DEVICE: &str = "/dev/volume";

/// What a pod makes of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Filesystem,
    Block,
}

impl Mode {
    fn as_str(self) -> &'static str {
        match self {
            Self::Filesystem => "Filesystem",
            Self::Block => "Block",
        }
    }
}

/// What a pod is beside its volume.
#[derive(Debug, Clone, Default)]
pub(crate) struct PodOptions {
    /// The user and group of its process, and the group of its volumes.
    pub(crate) security: Value,
    /// Whether it may only read the volume.
    pub(crate) read_only: bool,
}

/// The API's collection of a kind of things in a namespace.
pub(crate) fn collection(namespace: &str, kind: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/{kind}")
}

/// A PersistentVolume for a claim of the same name.
pub(crate) fn volume(namespace: &str, name: &str, mode: Mode) -> Value {
    let mut csi = json!({
        "driver": DRIVER,
        "volumeHandle": name,
        "volumeAttributes": {
            "nqn": settings::nqn(name),
            "addresses": TARGET_ADDRESS.to_string(),
            "namespaceUUID": settings::uuid(name),
            // The kernel tries again each second, so that a case waits for the product and not for the kernel.
            "reconnectDelay": "1",
        },
    });
    if mode == Mode::Filesystem {
        csi["fsType"] = "ext4".into();
    }
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "64Mi"},
            "volumeMode": mode.as_str(),
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "claimRef": {"namespace": namespace, "name": name},
            "csi": csi,
        },
    })
}

/// Its claim.
pub(crate) fn claim(name: &str, mode: Mode) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "volumeMode": mode.as_str(),
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "",
            "volumeName": name,
            "resources": {"requests": {"storage": "64Mi"}},
        },
    })
}

/// A pod that writes to the volume of a claim.
pub(crate) fn pod(name: &str, claim: &str, mode: Mode, options: &PodOptions) -> Value {
    let path = match mode {
        Mode::Filesystem => format!("{DIRECTORY}/written"),
        Mode::Block => DEVICE.to_owned(),
    };
    let mut container = json!({
        "name": "writer",
        "image": settings::POD_IMAGE,
        "imagePullPolicy": "Never",
        "command": [PROGRAM, writer::WRITE, path],
    });
    match mode {
        Mode::Filesystem => {
            let mount =
                json!({"name": "volume", "mountPath": DIRECTORY, "readOnly": options.read_only});
            container["volumeMounts"] = json!([mount]);
        }
        Mode::Block => {
            container["volumeDevices"] = json!([{"name": "volume", "devicePath": DEVICE}]);
        }
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "hostNetwork": true,
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 1,
            "securityContext": options.security,
            "containers": [container],
            "volumes": [{
                "name": "volume",
                "persistentVolumeClaim": {"claimName": claim, "readOnly": options.read_only},
            }],
        },
    })
}
