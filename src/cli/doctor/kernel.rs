//! What the running kernel offers: connect options, multipath, its log.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::libc;
use nvme_fabrics::{Fabrics, SupportedSource};
use nvme_sysfs::{Tree, Unknown};

use super::{Check, Status};
use crate::cli::exit::chain;

/// The connect options that `/dev/nvme-fabrics` takes.
pub(super) fn check_options(root: &Path) -> Check {
    const NAME: &str = "connect options";
    match Fabrics::at(root).supported() {
        Ok(supported) if supported.source() == SupportedSource::Listed => {
            Check::ok(NAME, format!("the kernel takes {}", supported.tokens()))
        }
        Ok(supported) => Check::ok(
            NAME,
            format!(
                "this kernel (before 5.17) does not list them; assumed are {}",
                supported.tokens()
            ),
        ),
        Err(error) => Check::bad(
            NAME,
            Status::Fail,
            chain(&error),
            "run as root, with the module nvme-fabrics loaded",
        ),
    }
}

/// Whether several paths to a namespace appear as one disk.
pub(super) fn check_multipath(tree: &Tree) -> Check {
    const NAME: &str = "nvme_core.multipath";
    match tree.multipath {
        Some(true) => Check::ok(NAME, "on: all paths to a namespace are one disk"),
        Some(false) => Check::bad(
            NAME,
            Status::Warn,
            "off: every path to a namespace is a disk of its own, and none takes over for another",
            "remove nvme_core.multipath=N from the kernel's command line, unless device-mapper \
                multipath is used on purpose",
        ),
        None => Check::bad(
            NAME,
            Status::Unknown,
            "the kernel does not say: the module nvme_core is not loaded, or built without \
                multipath",
            "load nvme-fabrics, then check again",
        ),
    }
}

/// Everything of sysfs that could not be read: what depends on it is refused.
pub(super) fn check_unknown(tree: &Tree) -> Vec<Check> {
    let check = |unknown: &Unknown| {
        let check = Check::bad(
            "sysfs",
            Status::Unknown,
            unknown.to_string(),
            "what depends on it is refused until it can be read; report it with the kernel's version",
        );
        check.about(unknown.path.display())
    };
    tree.unknown().map(check).collect()
}

/// Whether the causes of failed connects can be read: many are told nowhere else.
pub(super) fn check_log(root: &Path) -> Check {
    const NAME: &str = "kernel log";
    let path = root.join("dev/kmsg");
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(&path);
    match opened {
        Ok(_) => Check::ok(NAME, "readable: a failed connect is told with its cause"),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Check::bad(
            NAME,
            Status::Warn,
            format!("not readable ({error}): the cause of a failed connect stays unknown"),
            "run as root or with CAP_SYSLOG",
        ),
        Err(error) => Check::bad(
            NAME,
            Status::Unknown,
            format!("{} cannot be opened: {error}", path.display()),
            "make the host's /dev/kmsg visible",
        ),
    }
}
