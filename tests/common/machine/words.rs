//! Names in the log of the fake host, and the errors that it answers.

use std::path::Path;

use nvmeof_csi::host::{MountError, MountPointError};
use rustix::io::Errno;

/// What sets a path of kubelet's apart from the others: the pod, or that it is staged.
pub(super) fn short(path: &Path) -> String {
    let text = path.to_string_lossy();
    if text.ends_with("/globalmount") || text.contains("/volumeDevices/staging/") {
        return "stage".to_owned();
    }
    let pod = text.strip_suffix("/mount").and_then(|text| {
        let (_, below) = text.split_once("/pods/")?;
        below.split('/').next()
    });
    pod.map_or_else(|| name(path), str::to_owned)
}

pub(super) fn name(path: &Path) -> String {
    let name = path.file_name().expect("a name");
    name.to_string_lossy().into_owned()
}

pub(super) fn refused(call: &'static str, target: &Path) -> MountError {
    MountError::Bind {
        call: nvmeof_csi::host::mount::BindCall {
            source: call.into(),
            target: target.to_owned(),
            attributes: "0".to_owned(),
        },
        source: Errno::PERM,
    }
}

pub(super) fn failed(call: &'static str, path: &Path, source: Errno) -> MountPointError {
    MountPointError::Call {
        call,
        path: path.to_owned(),
        source,
    }
}
