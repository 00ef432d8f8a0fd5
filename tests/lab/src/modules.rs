//! Which kernel modules go into the guest, and in which order they load.
//!
//! The order is modules.dep's (depmod(8)), so that the guest can load them one after the other without modprobe.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What the tests need. Hardly any kernel has all of it as modules: loop's transport came in 6.12, checksums moved
/// into the kernel. crc32c and crc32 are asked for by alias (ext4, NVMe/TCP digests, rdma_rxe), so no dependency
/// leads to them.
pub(crate) const WANTED: &[&str] = &[
    "configfs",
    "crc32c_generic",
    "crc32_generic",
    "nvme_core",
    "nvme",
    "nvme_fabrics",
    "nvme_tcp",
    "nvme_loop",
    "nvmet",
    "nvmet_tcp",
    "loop",
    "ext4",
    "xfs",
    "veth",
    "dummy",
    "tls",
    "dm_mod",
    "dm_multipath",
    "dm_round_robin",
    "md_mod",
    "raid1",
    "rdma_rxe",
    "nvme_rdma",
    "nvmet_rdma",
    "nvme_fc",
    "nvmet_fc",
    "nvme_fcloop",
];

/// What a node of a cluster needs: the disk and the network that QEMU gives it, containers, and of the list above what
/// volumes over TCP need.
pub(crate) const WANTED_BY_NODE: &[&str] = &[
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "virtio_rng",
    "crc32c_generic",
    "ext4",
    "xfs",
    "overlay",
    "configfs",
    "nvme_core",
    "nvme_fabrics",
    "nvme_tcp",
    "nvmet",
    "nvmet_tcp",
    "loop",
    "veth",
    "dm_mod",
    "dm_multipath",
    "dm_round_robin",
];

/// A module file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// The kernel's name for it, with underscores: `nvme_tcp`.
    pub name: String,
    /// The file, `.ko` or `.ko.xz`.
    pub path: PathBuf,
}

/// Why a wanted module is not among the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absent {
    /// It is part of the kernel itself.
    BuiltIn(String),
    /// This kernel does not have it.
    Missing(String),
}

/// The modules to load, dependencies first, and the wanted ones that are no files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// In load order.
    pub load: Vec<Module>,
    /// Recorded, and no error: a test that needs one is ignored by name.
    pub absent: Vec<Absent>,
}

/// Selects what the lab wants from a kernel's directory of modules.
///
/// # Errors
/// The error of reading `modules.dep`, or a `modules.builtin` that is there.
pub fn select(modules: &Path) -> io::Result<Selection> {
    select_of(modules, WANTED)
}

/// The same of a list of one's own.
pub(crate) fn select_of(modules: &Path, wanted: &[&str]) -> io::Result<Selection> {
    let dependencies = fs::read_to_string(modules.join("modules.dep"))?;
    let built_in = match fs::read_to_string(modules.join("modules.builtin")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        result => result?,
    };
    let mut selection = order(&dependencies, &built_in, wanted);
    for module in &mut selection.load {
        module.path = modules.join(&module.path);
    }
    Ok(selection)
}

/// Each line of modules.dep is `file: dependency…`, all of them, the one to load first standing last.
fn order(dependencies: &str, built_in: &str, wanted: &[&str]) -> Selection {
    let lines = dependencies
        .lines()
        .filter_map(|line| line.split_once(':'))
        .collect::<Vec<_>>();
    let mut selection = Selection::default();
    let mut seen = HashSet::new();
    for name in wanted {
        let Some((file, needs)) = lines.iter().find(|(file, _)| module_name(file) == *name) else {
            selection.absent.push(why_absent(name, built_in));
            continue;
        };
        for path in needs.split_whitespace().rev().chain([*file]) {
            if seen.insert(path) {
                selection.load.push(Module {
                    name: module_name(path),
                    path: path.into(),
                });
            }
        }
    }
    selection
}

fn why_absent(name: &str, built_in: &str) -> Absent {
    match built_in.lines().any(|path| module_name(path) == name) {
        true => Absent::BuiltIn(name.to_owned()),
        false => Absent::Missing(name.to_owned()),
    }
}

/// `kernel/drivers/nvme/host/nvme-tcp.ko.xz` → `nvme_tcp`.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPENDENCIES: &str = "\
kernel/drivers/nvme/common/nvme-auth.ko.xz:
kernel/drivers/nvme/host/nvme-core.ko.xz: kernel/drivers/nvme/common/nvme-auth.ko.xz
kernel/drivers/nvme/host/nvme-fabrics.ko.xz: kernel/drivers/nvme/host/nvme-core.ko.xz kernel/drivers/nvme/common/nvme-auth.ko.xz
kernel/drivers/nvme/host/nvme-tcp.ko.xz: kernel/drivers/nvme/host/nvme-fabrics.ko.xz kernel/drivers/nvme/host/nvme-core.ko.xz kernel/drivers/nvme/common/nvme-auth.ko.xz
kernel/drivers/net/veth.ko:
";

    fn names(selection: &Selection) -> Vec<&str> {
        selection
            .load
            .iter()
            .map(|module| module.name.as_str())
            .collect()
    }

    #[test]
    fn dependencies_load_first_and_once() {
        let selection = order(DEPENDENCIES, "", &["nvme_core", "nvme_tcp", "veth"]);
        assert_eq!(
            names(&selection),
            ["nvme_auth", "nvme_core", "nvme_fabrics", "nvme_tcp", "veth"]
        );
        assert_eq!(
            selection.load[4].path,
            Path::new("kernel/drivers/net/veth.ko")
        );
        assert!(selection.absent.is_empty());
    }

    #[test]
    fn built_in_and_missing_modules_are_told_apart() {
        let selection = order(
            DEPENDENCIES,
            "kernel/fs/configfs/configfs.ko\n",
            &["configfs", "nvme_loop"],
        );
        let expected = [
            Absent::BuiltIn("configfs".to_owned()),
            Absent::Missing("nvme_loop".to_owned()),
        ];
        assert_eq!(
            (selection.load.len(), selection.absent),
            (0, expected.to_vec())
        );
    }

    #[test]
    fn garbage_selects_nothing() {
        assert!(order("no colon\n:\n\u{0}", "", &["veth"]).load.is_empty());
    }
}
