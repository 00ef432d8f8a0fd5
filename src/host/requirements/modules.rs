//! Whether the kernel modules are there: loaded, built in, or missing.
//!
//! Files: `/sys/module/NAME` (loaded, or built in with parameters),
//! `/lib/modules/RELEASE/modules.builtin` (one path per line), and `/proc/sys/kernel/osrelease`.
//! The kernel spells a module's name with `_` in sysfs and with `-` or `_` in files.

use std::fs;
use std::path::Path;

use super::{Check, Status};

/// Where the modules that must be loaded at boot are listed (modules-load.d(5)).
const MODULES_LOAD: &str = "/etc/modules-load.d/nvmeof-csi.conf";

/// A module that matters here.
struct Module {
    /// As `modprobe` takes it.
    name: &'static str,
    /// How bad it is if it is missing.
    missing: Status,
    /// What does not work without it.
    purpose: &'static str,
}

const MODULES: [Module; 4] = [
    Module {
        name: "nvme-fabrics",
        missing: Status::Fail,
        purpose: "without it there is no /dev/nvme-fabrics and nothing can be connected",
    },
    Module {
        name: "nvme-tcp",
        missing: Status::Warn,
        purpose: "needed for TCP unless another transport is used",
    },
    Module {
        name: "dm-multipath",
        missing: Status::Warn,
        purpose: "needed to hold I/O while a volume has no path",
    },
    Module {
        name: "dm-round-robin",
        missing: Status::Warn,
        purpose: "needed to hold I/O while a volume has no path",
    },
];

/// Where a module is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Loaded,
    BuiltIn,
    Missing,
}

/// One check per module.
pub(super) fn check(root: &Path) -> Vec<Check> {
    let builtin = read_builtin(root);
    MODULES
        .iter()
        .map(|module| module.check(find(root, module.name, builtin.as_deref())))
        .collect()
}

/// Why no map can be made that holds I/O, if none can.
pub(super) fn missing_for_maps(root: &Path) -> Option<&'static str> {
    let builtin = read_builtin(root);
    let is_missing = |name| find(root, name, builtin.as_deref()) == Presence::Missing;
    if !crate::host::dm::is_available(root) {
        Some("there is no /dev/mapper/control: the module dm-mod is not loaded")
    } else if is_missing("dm-multipath") {
        Some("the module dm-multipath is not loaded")
    } else if is_missing("dm-round-robin") {
        Some("the module dm-round-robin is not loaded")
    } else {
        None
    }
}

impl Module {
    fn check(&self, presence: Presence) -> Check {
        let Module { name, purpose, .. } = self;
        let check = match presence {
            Presence::Loaded => Check::ok("module", format!("{name} is loaded")),
            Presence::BuiltIn => Check::ok("module", format!("{name} is built into the kernel")),
            Presence::Missing => Check::bad(
                "module",
                self.missing,
                format!("{name} is not loaded: {purpose}"),
                format!(
                    "add the line `{name}` to {MODULES_LOAD} on the host, and load it now with \
                        `modprobe {name}`"
                ),
            ),
        };
        check.about(name)
    }
}

fn find(root: &Path, name: &str, builtin: Option<&str>) -> Presence {
    let listed = builtin.is_some_and(|list| list.lines().any(|line| is_module(line, name)));
    if listed {
        Presence::BuiltIn
    } else if root.join("sys/module").join(underscored(name)).exists() {
        Presence::Loaded
    } else {
        Presence::Missing
    }
}

/// The list of what is built in, or `None` where the running kernel's files are not to be seen (a
/// container without the host's /lib).
fn read_builtin(root: &Path) -> Option<String> {
    let release = fs::read_to_string(root.join("proc/sys/kernel/osrelease")).ok()?;
    let below = Path::new("modules")
        .join(release.trim_end())
        .join("modules.builtin");
    ["lib", "usr/lib"]
        .iter()
        .find_map(|lib| fs::read_to_string(root.join(lib).join(&below)).ok())
}

/// Whether a line like `kernel/drivers/nvme/host/nvme-fabrics.ko` is about the module `name`.
fn is_module(line: &str, name: &str) -> bool {
    let file = line.rsplit('/').next().unwrap_or(line);
    file.strip_suffix(".ko")
        .is_some_and(|found| underscored(found) == underscored(name))
}

fn underscored(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loaded_module_is_found_under_its_sysfs_spelling() {
        let root = tempfile::tempdir().expect("temporary directory");
        fs::create_dir_all(root.path().join("sys/module/nvme_fabrics")).expect("module");
        assert_eq!(find(root.path(), "nvme-fabrics", None), Presence::Loaded);
        assert_eq!(find(root.path(), "nvme-tcp", None), Presence::Missing);
    }

    #[test]
    fn a_built_in_module_is_found_by_the_name_of_its_file() {
        let root = tempfile::tempdir().expect("temporary directory");
        let list = "kernel/drivers/md/dm_multipath.ko\nkernel/drivers/nvme/host/nvme-fabrics.ko\n";
        assert_eq!(
            find(root.path(), "nvme-fabrics", Some(list)),
            Presence::BuiltIn
        );
        assert_eq!(
            find(root.path(), "dm-multipath", Some(list)),
            Presence::BuiltIn
        );
        assert_eq!(find(root.path(), "fabrics", Some(list)), Presence::Missing);
    }

    #[test]
    fn the_list_of_the_running_kernel_is_read() {
        let root = tempfile::tempdir().expect("temporary directory");
        let modules = root.path().join("usr/lib/modules/6.12.1");
        fs::create_dir_all(&modules).expect("directory");
        fs::write(modules.join("modules.builtin"), "kernel/nvme-tcp.ko\n").expect("list");
        assert_eq!(read_builtin(root.path()), None);
        fs::create_dir_all(root.path().join("proc/sys/kernel")).expect("directory");
        fs::write(root.path().join("proc/sys/kernel/osrelease"), "6.12.1\n").expect("release");
        assert_eq!(
            read_builtin(root.path()).as_deref(),
            Some("kernel/nvme-tcp.ko\n")
        );
    }

    #[test]
    fn a_missing_module_comes_with_the_line_to_add() {
        let check = MODULES[0].check(Presence::Missing);
        assert_eq!(check.status, Status::Fail);
        let what = check.what_to_do.expect("a remedy");
        assert!(
            what.contains("`nvme-fabrics` to /etc/modules-load.d/nvmeof-csi.conf"),
            "{what}"
        );
    }
}
