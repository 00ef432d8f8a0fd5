//! A machine in a directory: a captured sysfs that a fake host connects and disconnects, a mount
//! table, device nodes as plain files, and kubelet's directory.
//!
//! What a target holds survives a disconnect, as on a real one: nodes are links to the images of
//! namespaces.

pub(crate) mod devices;
pub(crate) mod fake_host;
pub(crate) mod filesystems;
#[path = "../kubelet.rs"]
pub(crate) mod kubelet;
mod meeting;
mod words;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nvme_fabrics::HostIdentity;
use nvme_sysfs::Sysfs;
use nvmeof_csi::host::MapId;
use nvmeof_csi::report::metrics::Metrics;
use nvmeof_csi::report::reporter::Reporter;
use nvmeof_csi::volume::{Timing, Volumes, VolumesConfig};
use nvmeof_csi::watch::Trees;
use tempfile::TempDir;

use devices::Devices;
use fake_host::FakeHost;
use kubelet::Kubelet;

/// The driver that kubelet asks.
const DRIVER: &str = "test.csi";

/// The map of a volume that this driver serves.
pub(crate) fn map_of(volume: &str) -> MapId {
    MapId::of_volume(DRIVER, volume)
}

/// The volume of every test, by the name that its PersistentVolume gives the driver.
const VOLUME: &str = "volume-1";
/// Its PersistentVolume.
pub(crate) const PV: &str = "pv-1";

/// The directory and who changes it.
#[derive(Debug)]
pub(crate) struct Machine {
    directory: TempDir,
    pub(crate) host: Arc<FakeHost>,
}

impl Machine {
    /// A machine to which nothing is connected, and a target that shows what the capture of this
    /// name holds.
    pub(crate) fn new(capture: &str) -> Machine {
        let directory = memory_directory();
        let root = directory.path().join("root");
        for below in [
            "dev",
            "proc/self",
            "proc/sys/kernel/random",
            "target",
            "run",
        ] {
            fs::create_dir_all(root.join(below)).expect("a directory");
        }
        fs::write(root.join("proc/self/mountinfo"), TABLE).expect("a file");
        fs::create_dir(root.join("proc/self/ns")).expect("a directory");
        // Of the first PID namespace, in which all processes are seen.
        symlink("pid:[4026531836]", root.join("proc/self/ns/pid")).expect("a link");
        let devices = Devices::of(&root, capture);
        let machine = Machine {
            host: Arc::new(FakeHost::new(root, devices)),
            directory,
        };
        for staging in [machine.staging(), machine.block_staging()] {
            fs::create_dir_all(staging).expect("a directory");
        }
        machine.boot("bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb");
        machine
    }

    /// Begins a boot: nothing is mounted or connected any more.
    pub(crate) fn boot(&self, id: &str) {
        self.host.power_off();
        let root = self.root();
        fs::write(root.join("proc/self/mountinfo"), TABLE).expect("a file");
        fs::write(
            root.join("proc/sys/kernel/random/boot_id"),
            format!("{id}\n"),
        )
        .expect("a file");
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// kubelet's directory.
    pub(crate) fn kubelet_dir(&self) -> PathBuf {
        self.directory.path().join("kubelet")
    }

    /// kubelet of that directory.
    pub(crate) fn kubelet(&self) -> Kubelet {
        Kubelet::at(&self.kubelet_dir(), DRIVER)
    }

    /// Where kubelet lets a filesystem be staged.
    pub(crate) fn staging(&self) -> PathBuf {
        self.kubelet().staging(VOLUME)
    }

    /// Where it lets a raw disk be staged.
    pub(crate) fn block_staging(&self) -> PathBuf {
        self.kubelet().block_staging(PV)
    }

    /// Where a pod looks for a filesystem. Its parent is there, it is not.
    pub(crate) fn target(&self, pod: &str) -> PathBuf {
        beside(self.kubelet().target(pod, PV))
    }

    /// Where kubelet looks for the disk of a pod. Its parent is there, it is not.
    pub(crate) fn block_target(&self, pod: &str) -> PathBuf {
        beside(self.kubelet().block_target(pod, PV))
    }

    /// What a start of the program makes of the state directory.
    pub(crate) fn volumes(&self) -> Volumes {
        Volumes::new(self.config()).expect("readable records")
    }

    pub(crate) fn config(&self) -> VolumesConfig {
        let hostid = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
        VolumesConfig {
            root: self.root(),
            driver: DRIVER.to_owned(),
            state_dir: self.state_dir(),
            host: Arc::clone(&self.host) as _,
            trees: Trees::of(Sysfs::at(self.root())),
            identity: HostIdentity {
                hostnqn: format!("nqn.2014-08.org.nvmexpress:uuid:{hostid}")
                    .parse()
                    .expect("a name"),
                hostid: hostid.parse().expect("a uuid"),
            },
            timing: Timing {
                namespace: Duration::from_millis(50),
                size: Duration::from_millis(50),
                path: Duration::from_millis(50),
                rescan: Duration::from_millis(5),
            },
            reporter: Reporter::silent(),
            metrics: Metrics::new(Vec::new()),
        }
    }

    /// Every mount at a path, by the device number, oldest first.
    pub(crate) fn mounts_at(&self, path: &Path) -> Vec<String> {
        let table = self.host.mounts();
        let at = table.iter().filter(|mount| mount.mount_point == path);
        at.map(|mount| mount.dev.to_string()).collect()
    }

    /// Mounts something behind everybody's back.
    pub(crate) fn mount_foreign(&self, path: &Path, line: &str) {
        self.host.append_mount(&format!(
            "90 1 {}",
            line.replace("PATH", &path.display().to_string())
        ));
    }

    /// Files below the state directory.
    pub(crate) fn state_files(&self) -> Vec<String> {
        let mut found = Vec::new();
        list(&self.state_dir(), &mut found);
        found.sort();
        found
    }
}

const TABLE: &str = "1 1 0:2 / / rw - rootfs rootfs rw\n24 1 0:6 / /dev rw - devtmpfs udev rw\n";

/// A path whose parent kubelet has made.
fn beside(path: PathBuf) -> PathBuf {
    fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    path
}

/// A directory in memory where there is one: records are written through to the disk, and an unmount
/// writes everything back.
fn memory_directory() -> TempDir {
    let memory = tempfile::tempdir_in("/dev/shm");
    memory.unwrap_or_else(|_| tempfile::tempdir().expect("a directory"))
}

fn list(directory: &Path, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            list(&path, found);
        } else {
            let name = path.file_name().expect("a name").to_string_lossy();
            found.push(name.into_owned());
        }
    }
}
