//! Small trees laid out as the kernel lays out sysfs, links and all, in a temporary directory.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nvme_sysfs::{Instance, Sysfs, Tree};
use tempfile::TempDir;

const CONTROLLERS: &str = "sys/devices/virtual/nvme-fabrics/ctl";
const SUBSYSTEMS: &str = "sys/devices/virtual/nvme-subsystem";
const PCI: &str = "sys/devices/pci0000:00/0000:00:04.0/nvme";

pub(crate) const NQN: &str = "nqn.2024-01.com.example:vol1";
pub(crate) const HOSTNQN: &str =
    "nqn.2014-08.org.nvmexpress:uuid:5e0e2a63-5c5b-4b36-a2b4-0c2d7b7ea1f4";
pub(crate) const HOSTID: &str = "5e0e2a63-5c5b-4b36-a2b4-0c2d7b7ea1f4";
pub(crate) const UUID: &str = "0f01fb42-9f7f-4856-b0b3-51e60b8de349";
pub(crate) const OTHER_UUID: &str = "aaaaaaaa-9f7f-4856-b0b3-51e60b8de349";

pub(crate) struct Fake {
    root: TempDir,
}

impl Fake {
    /// A machine with the driver loaded and nothing connected.
    pub(crate) fn new() -> Self {
        let fake = Self {
            root: tempfile::tempdir().expect("a directory"),
        };
        for class in ["nvme", "nvme-subsystem"] {
            fs::create_dir_all(fake.path(&format!("sys/class/{class}"))).expect("made");
        }
        fake.file("sys/module/nvme_core/parameters/multipath", "Y\n");
        fake
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    pub(crate) fn sysfs(&self) -> Sysfs {
        Sysfs::at(self.root.path())
    }

    pub(crate) fn scan(&self) -> Tree {
        self.sysfs().scan().expect("a scan without error")
    }

    /// Writes a file, or another content into one.
    pub(crate) fn file(&self, below: &str, content: impl AsRef<[u8]>) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().expect("below the root")).expect("made");
        fs::write(path, content).expect("written");
    }

    pub(crate) fn remove(&self, below: &str) {
        fs::remove_file(self.path(below)).expect("removed");
    }

    pub(crate) fn link(&self, below: &str, target: &str) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().expect("below the root")).expect("made");
        symlink(target, path).expect("linked");
    }

    /// A subsystem without controllers; returns its directory.
    pub(crate) fn subsystem(&self, number: u32, nqn: &str) -> String {
        let name = format!("nvme-subsys{number}");
        let directory = format!("{SUBSYSTEMS}/{name}");
        self.files(
            &directory,
            &[
                ("subsysnqn", nqn),
                ("subsystype", "nvm"),
                ("model", "Linux           "),
            ],
        );
        self.files(
            &directory,
            &[
                ("serial", "d41d8cd98f00b204"),
                ("firmware_rev", "6.12.0  "),
                ("iopolicy", "numa"),
            ],
        );
        self.link(
            &format!("sys/class/nvme-subsystem/{name}"),
            &format!("../../devices/virtual/nvme-subsystem/{name}"),
        );
        directory
    }

    /// A controller over TCP as the class shows it before it is identified; returns its directory.
    pub(crate) fn connecting(&self, instance: u32) -> String {
        let directory = format!("{CONTROLLERS}/nvme{instance}");
        let address = format!("traddr=192.168.5.{},trsvcid=4420", instance % 250 + 1);
        self.files(
            &directory,
            &[
                ("transport", "tcp"),
                ("address", &address),
                ("state", "connecting"),
            ],
        );
        self.files(
            &directory,
            &[
                ("hostnqn", HOSTNQN),
                ("hostid", HOSTID),
                ("cntlid", "0"),
                ("cntrltype", "reserved"),
            ],
        );
        self.files(
            &directory,
            &[
                ("subsysnqn", "(efault)"),
                ("model", "(efault)"),
                ("serial", "(efault)"),
            ],
        );
        self.files(
            &directory,
            &[
                ("firmware_rev", "(efault)"),
                ("dctype", "none"),
                ("numa_node", "-1"),
            ],
        );
        self.files(
            &directory,
            &[
                ("queue_count", "1"),
                ("sqsize", "31"),
                ("kato", "5"),
                ("reconnect_delay", "10"),
            ],
        );
        self.files(
            &directory,
            &[("ctrl_loss_tmo", "600"), ("fast_io_fail_tmo", "off")],
        );
        self.files(&directory, &[("dev", &format!("243:{instance}"))]);
        self.link(
            &format!("sys/class/nvme/nvme{instance}"),
            &format!("../../devices/virtual/nvme-fabrics/ctl/nvme{instance}"),
        );
        directory
    }

    /// A live controller over TCP in a subsystem; returns its directory.
    pub(crate) fn live(&self, instance: u32, subsystem: u32, nqn: &str) -> String {
        let directory = self.connecting(instance);
        let cntlid = (instance + 1).to_string();
        self.files(
            &directory,
            &[
                ("state", "live"),
                ("subsysnqn", nqn),
                ("cntlid", &cntlid),
                ("cntrltype", "io"),
            ],
        );
        self.files(
            &directory,
            &[
                ("model", "Linux"),
                ("serial", "d41d8cd98f00b204"),
                ("firmware_rev", "6.12.0"),
            ],
        );
        self.member(subsystem, instance, "../../nvme-fabrics/ctl");
        directory
    }

    /// A live PCI Express controller in a subsystem; returns its directory.
    pub(crate) fn pcie(&self, instance: u32, subsystem: u32, nqn: &str) -> String {
        let directory = format!("{PCI}/nvme{instance}");
        self.files(
            &directory,
            &[
                ("transport", "pcie"),
                ("address", "0000:00:04.0"),
                ("state", "live"),
            ],
        );
        self.files(
            &directory,
            &[
                ("subsysnqn", nqn),
                ("cntlid", "0"),
                ("cntrltype", "io"),
                ("numa_node", "0"),
            ],
        );
        self.link(
            &format!("sys/class/nvme/nvme{instance}"),
            &format!("../../devices/pci0000:00/0000:00:04.0/nvme/nvme{instance}"),
        );
        self.member(subsystem, instance, "../../../pci0000:00/0000:00:04.0/nvme");
        directory
    }

    fn member(&self, subsystem: u32, instance: u32, above: &str) {
        let link = format!("{SUBSYSTEMS}/nvme-subsys{subsystem}/nvme{instance}");
        self.link(&link, &format!("{above}/nvme{instance}"));
    }

    /// A disk of 64 MiB in the directory of a subsystem (a head) or of a controller; returns its directory.
    pub(crate) fn disk(&self, owner: &str, name: &str, nsid: u32, uuid: &str) -> String {
        let directory = format!("{owner}/{name}");
        self.files(
            &directory,
            &[
                ("nsid", &nsid.to_string()),
                ("uuid", uuid),
                ("wwid", &format!("uuid.{uuid}")),
            ],
        );
        self.files(
            &directory,
            &[
                ("size", "131072"),
                ("ro", "0"),
                ("queue/logical_block_size", "512"),
            ],
        );
        self.files(
            &directory,
            &[("dev", &format!("259:{}", nsid + 6)), ("diskseq", "21")],
        );
        fs::create_dir_all(self.path(&format!("{directory}/holders"))).expect("made");
        directory
    }

    /// A hidden path in the directory of a controller; returns its directory.
    pub(crate) fn hidden(
        &self,
        controller: &str,
        name: &str,
        nsid: u32,
        ana_state: &str,
    ) -> String {
        let directory = format!("{controller}/{name}");
        self.files(
            &directory,
            &[
                ("nsid", &nsid.to_string()),
                ("uuid", UUID),
                ("size", "131072"),
                ("hidden", "1"),
            ],
        );
        self.files(
            &directory,
            &[
                ("ana_state", ana_state),
                ("ana_grpid", "1"),
                ("wwid", &format!("uuid.{UUID}")),
            ],
        );
        directory
    }

    fn files(&self, directory: &str, files: &[(&str, &str)]) {
        for (name, value) in files {
            self.file(&format!("{directory}/{name}"), format!("{value}\n"));
        }
    }
}

/// Names of the controllers, in their order.
pub(crate) fn instances<'a>(
    controllers: impl IntoIterator<Item = &'a nvme_sysfs::Controller>,
) -> Vec<u32> {
    controllers
        .into_iter()
        .map(|controller| match controller.instance {
            Instance(number) => number,
        })
        .collect()
}
