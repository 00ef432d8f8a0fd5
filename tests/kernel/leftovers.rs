//! What the machine holds, so that a case fails that leaves more behind than it found, and not the next one.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

/// Directories in which cases and the program under test make files.
const FILES: [&str; 6] = ["/etc", "/mnt", "/run", "/tmp", "/var/lib", "/dev/mapper"];
/// Directories of the kernel, with an entry for each thing.
const THINGS: [&str; 5] = [
    "/sys/class/nvme",
    "/sys/class/net",
    "/sys/kernel/config/nvmet/subsystems",
    "/sys/kernel/config/nvmet/ports",
    "/sys/kernel/config/nvmet/hosts",
];

/// Files, mounts, disks, links, targets and processes, each as a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Inventory(BTreeSet<String>);

impl Inventory {
    /// Of this moment.
    pub(crate) fn take() -> io::Result<Inventory> {
        let mut all = BTreeSet::new();
        for directory in FILES {
            files_below(Path::new(directory), &mut all)?;
        }
        for directory in THINGS {
            let entries = fs::read_dir(directory).into_iter().flatten().flatten();
            all.extend(entries.map(|entry| entry.path().display().to_string()));
        }
        for disk in fs::read_dir("/sys/block")? {
            let disk = disk?.path();
            let is_loop = disk.to_string_lossy().starts_with("/sys/block/loop");
            // A loop device stays, with nothing behind it.
            let behind = fs::read_to_string(disk.join("loop/backing_file"));
            match (is_loop, behind) {
                (true, Ok(behind)) => all.insert(format!("{} {behind}", disk.display())),
                (true, Err(_)) => continue,
                (false, _) => all.insert(disk.display().to_string()),
            };
        }
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        all.extend(mounts.lines().map(|line| format!("mount {line}")));
        all.extend(programs()?);
        Ok(Inventory(all))
    }

    /// What is there now and was not before.
    pub(crate) fn added_since(&self, before: &Inventory) -> Vec<String> {
        self.0.difference(&before.0).cloned().collect()
    }
}

/// Every file below a directory of this file system, none of one that is mounted on it.
fn files_below(directory: &Path, all: &mut BTreeSet<String>) -> io::Result<()> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry?;
        all.insert(entry.path().display().to_string());
        if entry.file_type()?.is_dir() {
            files_below(&entry.path(), all)?;
        }
    }
    Ok(())
}

/// The command lines of all processes but this one; kernel threads and processes that have ended have none.
fn programs() -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.parse::<u32>().ok());
        let Some(number) = number.filter(|number| *number != std::process::id()) else {
            continue;
        };
        let line = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        if !line.is_empty() {
            found.push(format!("process {number}: {}", line.replace('\0', " ")));
        }
    }
    Ok(found)
}
