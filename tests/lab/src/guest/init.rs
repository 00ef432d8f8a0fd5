//! PID 1: file systems, modules, the loopback link, and the end.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};

use super::{context, net};

/// Where the host packed the modules, one `.ko` each.
const MODULES: &str = "/lab/modules";
/// Their names, one per line, in load order.
const MODULES_ORDER: &str = "/lab/modules.order";

/// What PID 1 found when it came up.
#[derive(Debug)]
pub struct Machine {
    /// The kernel's release, as `uname -r` prints it.
    pub release: String,
    /// Modules that did not load, with the kernel's answer.
    pub refused: Vec<(String, Errno)>,
}

impl Machine {
    /// Whether a module is missing: not packed for this kernel, or refused by it.
    #[must_use]
    pub fn lacks(&self, module: &str) -> bool {
        let directory = module.replace('-', "_");
        !Path::new("/sys/module").join(directory).is_dir()
    }

    /// Mounts what a system expects, loads the packed modules in their order and brings `lo` up.
    ///
    /// # Errors
    /// When a mount fails: nothing can be tested then.
    pub fn start() -> io::Result<Self> {
        for (source, target) in [
            ("devtmpfs", "/dev"),
            ("proc", "/proc"),
            ("sysfs", "/sys"),
            ("tmpfs", "/run"),
            ("tmpfs", "/tmp"),
        ] {
            mount_at(source, target)?;
        }
        let refused = load_modules()?;
        for (source, target) in [
            ("configfs", "/sys/kernel/config"),
            ("debugfs", "/sys/kernel/debug"),
        ] {
            mount_at(source, target)?;
        }
        net::set_up("lo")?;
        let release = fs::read_to_string("/proc/sys/kernel/osrelease")?
            .trim()
            .to_owned();
        Ok(Self { release, refused })
    }
}

/// Mounts a kernel file system (its type is its source) and makes the directory first where it can.
fn mount_at(source: &str, target: &str) -> io::Result<()> {
    if !Path::new(target).is_dir() {
        context(fs::create_dir_all(target), || format!("mkdir {target}"))?;
    }
    let done = mount(
        Some(source),
        target,
        Some(source),
        MsFlags::empty(),
        None::<&str>,
    );
    match done {
        // The kernel mounts devtmpfs itself where it is built to.
        Err(Errno::EBUSY) if source == "devtmpfs" => Ok(()),
        other => context(other.map_err(io::Error::from), || {
            format!("mount {source} on {target}")
        }),
    }
}

/// Loads each module of `modules.order`, with the parameters of the kernel command line.
fn load_modules() -> io::Result<Vec<(String, Errno)>> {
    let order = context(fs::read_to_string(MODULES_ORDER), || {
        MODULES_ORDER.to_owned()
    })?;
    let parameters = module_parameters(&cmdline()?);
    let mut refused = Vec::new();
    for name in order.lines() {
        let path = format!("{MODULES}/{name}.ko");
        let file = context(File::open(&path), || path.clone())?;
        let arguments = parameters
            .get(&name.replace('-', "_"))
            .map_or("", String::as_str);
        let arguments = CString::new(arguments)?;
        match finit_module(file, &arguments, ModuleInitFlags::empty()) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => refused.push((name.to_owned(), errno)),
        }
    }
    Ok(refused)
}

/// The words of the kernel command line.
///
/// # Errors
/// When `/proc` is not mounted.
pub fn cmdline() -> io::Result<Vec<String>> {
    let text = fs::read_to_string("/proc/cmdline")?;
    Ok(text.split_whitespace().map(str::to_owned).collect())
}

/// `module.parameter=value` words by module, as modprobe takes them from the command line.
fn module_parameters(words: &[String]) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for word in words {
        let Some((name, value)) = word.split_once('=') else {
            continue;
        };
        let Some((module, parameter)) = name.split_once('.') else {
            continue;
        };
        let text = all.entry(module.replace('-', "_")).or_default();
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&format!("{parameter}={value}"));
    }
    all
}

/// Ends the machine at once. QEMU runs with `-no-reboot`, so a restart ends it too.
pub(super) fn power_off() -> ! {
    let error = reboot(RebootMode::RB_AUTOBOOT);
    unreachable!("reboot returned: {error:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_parameters_are_grouped_by_module_with_dashes_as_underscores() {
        let words = [
            "quiet",
            "console=ttyS0",
            "nvme-core.multipath=N",
            "nvme_core.io_timeout=5",
        ]
        .map(str::to_owned);
        let parameters = module_parameters(&words);
        assert_eq!(parameters.len(), 1);
        assert_eq!(parameters["nvme_core"], "multipath=N io_timeout=5");
    }
}
