//! A connected namespace for filesystems, and the very calls that the driver makes.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};

use kernel_lab::guest::nvmet;
use kernel_lab::guest::nvmet::Subsystem;
use nvme_fabrics::Owner;
use nvme_sysfs::{Diskseq, Instance};
use nvmeof_csi::host::device_node::Opening;
use nvmeof_csi::host::signature::{Found, probe};
use nvmeof_csi::host::{
    DeviceNode, FilesystemType, FormatOver, FormatRequest, Host, LinuxHost, MountAccess,
    MountPoint, MountRequest, MultiMount, Timeouts,
};

use crate::scene::{NQN, Scene, UUID, connect, eventually, target};

/// mkfs.xfs makes nothing smaller than 300 MB.
pub(crate) const SIZE: u64 = 320 << 20;
/// Where [`Disk::mount`] mounts.
pub(crate) const MOUNT: &str = "/mnt/volume";

/// A connected namespace.
pub(crate) struct Disk {
    _scene: Scene,
    subsystem: Subsystem,
    pub(crate) backing: PathBuf,
    controller: Instance,
    pub(crate) node: DeviceNode,
}

impl Disk {
    pub(crate) fn connected() -> Disk {
        let scene = Scene::new();
        let backing = PathBuf::from(format!("/tmp/{UUID}.img"));
        nvmet::backing_file(&backing, SIZE).expect("a backing file");
        let subsystem = Subsystem::create(NQN).expect("a subsystem");
        let added = subsystem.add_namespace(1, &backing, UUID);
        added.expect("a namespace");
        scene.listen(1, target(0), 4420, &[&subsystem]);
        let run = connect(&["--wait", "-o", "json"]).expect(0).json();
        let text = |key: &str| run[key].as_str().expect("a text").to_owned();
        Disk {
            _scene: scene,
            subsystem,
            backing,
            controller: text("controller").parse().expect("a controller"),
            node: node_at(Path::new(&text("device"))),
        }
    }

    pub(crate) fn with(fs: FilesystemType) -> Disk {
        let disk = Disk::connected();
        host().format(&disk.request(fs)).expect("formatted");
        disk
    }

    pub(crate) fn name(&self) -> &str {
        let name = self.node.path.file_name().expect("a name");
        name.to_str().expect("ASCII")
    }

    pub(crate) fn request(&self, fs: FilesystemType) -> FormatRequest {
        FormatRequest {
            device: self.node.clone(),
            size_bytes: SIZE,
            fs,
            over: FormatOver::Blank,
            multi_mount: MultiMount::Unprotected,
        }
    }

    pub(crate) fn mount_request(&self, fs: FilesystemType, access: MountAccess) -> MountRequest {
        fs::create_dir_all("/mnt").expect("a directory");
        let made = host().make_mount_point(Path::new(MOUNT), MountPoint::Directory);
        made.expect("a mount point");
        let flags = vec!["noatime".parse().expect("a flag")];
        MountRequest {
            device: self.node.clone(),
            target: MOUNT.into(),
            fs,
            flags,
            access,
        }
    }

    pub(crate) fn mount(&self, fs: FilesystemType, access: MountAccess) {
        let request = self.mount_request(fs, access);
        host().mount(&request).expect("mounted");
    }

    pub(crate) fn found(&self) -> Found {
        let node = self.node.open(Path::new("/"), Opening::Shared);
        probe(&node.expect("the node opens")).expect("readable")
    }

    /// The namespace grows at the target, and the host learns of it.
    pub(crate) fn grow(&self, bytes: u64) {
        self.subsystem
            .grow(1, &self.backing, bytes)
            .expect("the target grows it");
        host()
            .rescan(self.controller, &NQN.parse().expect("a name"))
            .expect("asked");
        eventually("the new size", || {
            let sectors = sysfs_number(self.name(), "size");
            (sectors * 512 == bytes).then_some(())
        });
    }
}

/// This machine.
pub(crate) fn host() -> LinuxHost {
    LinuxHost::new("/", Owner::Program, Timeouts::default())
}

fn sysfs_number(disk: &str, attribute: &str) -> u64 {
    let path = Path::new("/sys/block").join(disk).join(attribute);
    let text = fs::read_to_string(path).expect("an attribute");
    text.trim().parse().expect("a number")
}

fn node_at(path: &Path) -> DeviceNode {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.expect("a name");
    let dev = Path::new("/sys/block").join(name).join("dev");
    let dev = fs::read_to_string(dev).expect("an attribute");
    DeviceNode {
        path: path.to_owned(),
        dev: dev.trim().parse().expect("a device number"),
        diskseq: Some(Diskseq(sysfs_number(name, "diskseq"))),
    }
}

/// A plain unmount that succeeds.
pub(crate) fn unmount(target: &str) {
    host().unmount(Path::new(target)).expect("unmounted");
}

/// The line of our mount table for a place.
pub(crate) fn mountinfo_line(target: &str) -> Option<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("the mount table");
    let is_at = |line: &&str| line.split(' ').nth(4) == Some(target);
    table.lines().rfind(is_at).map(str::to_owned)
}

/// Of all bytes of a file, which may be too large for the guest's memory.
pub(crate) fn fingerprint(path: &Path) -> u64 {
    let mut file = File::open(path).expect("a file");
    let mut hasher = DefaultHasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).expect("a read") {
            0 => return hasher.finish(),
            length => hasher.write(&buffer[..length]),
        }
    }
}

/// Size of a mounted filesystem.
pub(crate) fn total_bytes(path: &str) -> u64 {
    let stat = rustix::fs::statvfs(path).expect("a mounted filesystem");
    stat.f_blocks * stat.f_frsize
}
