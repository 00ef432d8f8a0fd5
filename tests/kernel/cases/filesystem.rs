//! Filesystems on a namespace, through the very calls that the driver makes.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use kernel_lab::guest::nvmet;
use kernel_lab::guest::nvmet::Subsystem;
use nvme_sysfs::{Diskseq, Instance};
use nvmeof_csi::host::device_node::{OpenNodeError, Opening};
use nvmeof_csi::host::signature::{Check, Found, probe};
use nvmeof_csi::host::{
    Access, DeviceNode, FilesystemType, FormatError, FormatOver, FormatRequest, Host, LinuxHost,
    MountAccess, MountError, MountPoint, MountRequest, Timeouts, UnmountError,
};
use rustix::io::Errno;

use crate::case::Case;
use crate::scene::{NQN, Scene, UUID, connect, eventually, target};

pub(super) const CASES: &[Case] = &[
    Case::new("an_ext4_is_made_mounted_grown_and_checked", ext4_life),
    Case::new("an_xfs_is_made_mounted_grown_and_checked", xfs_life),
    Case::new(
        "a_namespace_with_foreign_data_is_not_formatted",
        foreign_data,
    ),
    Case::new("a_disk_in_use_is_neither_formatted_nor_checked", in_use),
    Case::new("errors_of_an_ext4_are_found_and_corrected", corrected),
    Case::new("a_mount_for_many_readers_writes_nothing", many_readers),
    Case::new("a_read_only_bind_is_read_only_and_shared", read_only_bind),
    Case::new("a_bound_device_node_is_the_device", bound_node),
    Case::new(
        "a_mount_that_fails_says_why_and_leaves_nothing",
        failed_mount,
    ),
    Case::new(
        "another_disk_under_the_same_name_is_not_touched",
        another_disk,
    ),
];

/// mkfs.xfs makes nothing smaller than 300 MB.
const SIZE: u64 = 320 << 20;
const GROWN: u64 = 480 << 20;
const MOUNT: &str = "/mnt/volume";
const BOTH: [FilesystemType; 2] = [FilesystemType::Ext4, FilesystemType::Xfs];

/// A connected namespace.
struct Disk {
    _scene: Scene,
    subsystem: Subsystem,
    backing: PathBuf,
    controller: Instance,
    node: DeviceNode,
}

impl Disk {
    fn connected() -> Disk {
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

    fn with(fs: FilesystemType) -> Disk {
        let disk = Disk::connected();
        host().format(&disk.request(fs)).expect("formatted");
        disk
    }

    fn name(&self) -> &str {
        let name = self.node.path.file_name().expect("a name");
        name.to_str().expect("ASCII")
    }

    fn request(&self, fs: FilesystemType) -> FormatRequest {
        FormatRequest {
            device: self.node.clone(),
            size_bytes: SIZE,
            fs,
            over: FormatOver::Blank,
        }
    }

    fn mount_request(&self, fs: FilesystemType, access: MountAccess) -> MountRequest {
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

    fn mount(&self, fs: FilesystemType, access: MountAccess) {
        let request = self.mount_request(fs, access);
        host().mount(&request).expect("mounted");
    }

    fn found(&self) -> Found {
        let node = self.node.open(Path::new("/"), Opening::Shared);
        probe(&node.expect("the node opens")).expect("readable")
    }

    /// The namespace grows at the target, and the host learns of it.
    fn grow(&self, bytes: u64) {
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

fn host() -> LinuxHost {
    LinuxHost::new("/", Timeouts::default())
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

fn unmount(target: &str) {
    host().unmount(Path::new(target)).expect("unmounted");
}

/// The line of our mount table for a place.
fn mountinfo_line(target: &str) -> Option<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("the mount table");
    let is_at = |line: &&str| line.split(' ').nth(4) == Some(target);
    table.lines().rfind(is_at).map(str::to_owned)
}

/// Of all bytes of a file, which may be too large for the guest's memory.
fn fingerprint(path: &Path) -> u64 {
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

fn total_bytes(path: &str) -> u64 {
    let stat = rustix::fs::statvfs(path).expect("a mounted filesystem");
    stat.f_blocks * stat.f_frsize
}

fn life(fs: FilesystemType) {
    let disk = Disk::connected();
    let host = host();
    assert_eq!(disk.found(), Found::Blank);
    host.format(&disk.request(fs)).expect("formatted");
    disk.mount(fs, MountAccess::ReadWrite);
    let line = mountinfo_line(MOUNT).expect("mounted");
    assert!(line.contains("noatime"), "{line}");
    let file = Path::new(MOUNT).join("file");
    fs::write(&file, "kept").expect("a write");

    let before = total_bytes(MOUNT);
    disk.grow(GROWN);
    let mounted_at = Path::new(MOUNT);
    for _ in 0..2 {
        host.grow(mounted_at, &disk.node, fs).expect("grown");
    }
    let grown = total_bytes(MOUNT) - before;
    // A little of what was added is metadata.
    assert!(grown > (GROWN - SIZE) / 100 * 95, "only {grown} bytes more");

    unmount(MOUNT);
    assert_eq!(mountinfo_line(MOUNT), None);
    host.check(&disk.node, fs).expect("sound");
    disk.mount(fs, MountAccess::ReadWrite);
    assert_eq!(fs::read(&file).expect("a read"), b"kept");
    unmount(MOUNT);
    host.remove_mount_point(mounted_at).expect("removed");
    assert!(!mounted_at.exists());
}

fn ext4_life() {
    life(FilesystemType::Ext4);
}

fn xfs_life() {
    life(FilesystemType::Xfs);
}

fn foreign_data() {
    let disk = Disk::connected();
    let mut file = File::options()
        .write(true)
        .open(&disk.node.path)
        .expect("the device opens");
    // In the last sector, where a probe that looks only at the front does not look.
    file.seek(io::SeekFrom::Start(SIZE - 512))
        .and_then(|_| file.write_all(&[0xA5; 512]))
        .and_then(|()| file.sync_all())
        .expect("the device takes a write");
    drop(file);
    let before = fingerprint(&disk.backing);
    for fs in BOTH {
        let error = host().format(&disk.request(fs)).expect_err("foreign data");
        assert!(matches!(error, FormatError::NotBlank { .. }), "{error}");
    }
    let after = fingerprint(&disk.backing);
    assert_eq!(before, after, "the device was changed");
}

fn in_use() {
    for fs in BOTH {
        let disk = Disk::with(fs);
        disk.mount(fs, MountAccess::ReadWrite);
        let error = host().format(&disk.request(fs)).expect_err("mounted");
        assert!(
            matches!(error, FormatError::Device(OpenNodeError::InUse { .. })),
            "{error}"
        );
        let checked = host().check(&disk.node, FilesystemType::Ext4);
        checked.expect_err("mounted");

        let open = File::open(MOUNT).expect("the mount opens");
        let error = host().unmount(Path::new(MOUNT)).expect_err("in use");
        assert!(matches!(error, UnmountError::Busy { .. }), "{error}");
        drop(open);
        unmount(MOUNT);
        let error = host().unmount(Path::new(MOUNT)).expect_err("gone");
        assert!(matches!(error, UnmountError::NotMounted { .. }), "{error}");
        disk.disconnect();
    }
}

impl Disk {
    /// Ends this disk, so that a case can have another one.
    fn disconnect(self) {
        let nqn = NQN.parse().expect("a name");
        host().disconnect(self.controller, &nqn).expect("gone");
        nvmet::clear().expect("the target is cleared");
        fs::remove_file(&self.backing).expect("it was there");
    }
}

fn corrected() {
    let disk = Disk::with(FilesystemType::Ext4);
    disk.mount(FilesystemType::Ext4, MountAccess::ReadWrite);
    let trigger = format!("/sys/fs/ext4/{}/trigger_fs_error", disk.name());
    fs::write(trigger, "made by a test\n").expect("the kernel takes it");
    unmount(MOUNT);
    let check = |disk: &Disk| match disk.found() {
        Found::Ext(ext) => ext.check,
        other => panic!("{other}"),
    };
    assert_eq!(check(&disk), Check::Needed);
    let checked = host().check(&disk.node, FilesystemType::Ext4);
    checked.expect("corrected");
    assert_eq!(check(&disk), Check::Unneeded);
}

fn many_readers() {
    for fs in BOTH {
        let disk = Disk::with(fs);
        disk.mount(fs, MountAccess::ReadWrite);
        fs::write(Path::new(MOUNT).join("file"), "kept").expect("a write");
        unmount(MOUNT);
        let before = fingerprint(&disk.backing);
        disk.mount(fs, MountAccess::ReadOnlyShared);
        let kept = fs::read(Path::new(MOUNT).join("file")).expect("a read");
        assert_eq!(kept, b"kept");
        let error = fs::write(Path::new(MOUNT).join("other"), "").expect_err("read-only");
        assert_eq!(Errno::from_io_error(&error), Some(Errno::ROFS));
        unmount(MOUNT);
        let after = fingerprint(&disk.backing);
        assert_eq!(before, after, "{fs} wrote to the device");
        disk.disconnect();
    }
}

fn read_only_bind() {
    let disk = Disk::with(FilesystemType::Ext4);
    let host = host();
    // As kubelet's directory is on every node that systemd has started.
    fs::create_dir_all("/mnt").expect("a directory");
    let shared = rustix::mount::MountPropagationFlags::SHARED;
    rustix::mount::mount_bind("/mnt", "/mnt").expect("a mount of its own");
    rustix::mount::mount_change("/mnt", shared).expect("shared");
    disk.mount(FilesystemType::Ext4, MountAccess::ReadWrite);
    let place = Path::new("/mnt/pod");
    let made = host.make_mount_point(place, MountPoint::Directory);
    made.expect("a mount point");
    let flags = ["nosuid".parse().expect("a flag")];
    let bound = host.bind(Path::new(MOUNT), place, Access::ReadOnly, &flags);
    bound.expect("bound");
    let line = mountinfo_line("/mnt/pod").expect("bound");
    let options = line.split(' ').nth(5).expect("options");
    for option in ["ro", "nosuid", "noatime"] {
        assert!(options.split(',').any(|word| word == option), "{line}");
    }
    assert!(line.contains(" shared:"), "{line}");
    let error = fs::write("/mnt/pod/file", "").expect_err("read-only");
    assert_eq!(Errno::from_io_error(&error), Some(Errno::ROFS));
    fs::write(Path::new(MOUNT).join("file"), "seen").expect("a write at the source");
    assert_eq!(fs::read("/mnt/pod/file").expect("a read"), b"seen");
    let error = host.remove_mount_point(place).expect_err("mounted");
    assert!(error.to_string().ends_with("is still a mount point"));
    unmount("/mnt/pod");
    host.remove_mount_point(place).expect("removed");
    unmount(MOUNT);
}

fn bound_node() {
    let disk = Disk::connected();
    let host = host();
    fs::create_dir_all("/mnt").expect("a directory");
    let place = Path::new("/mnt/block");
    let made = host.make_mount_point(place, MountPoint::File);
    made.expect("a mount point");
    let bound = host.bind(&disk.node.path, place, Access::ReadWrite, &[]);
    bound.expect("bound");
    let same = DeviceNode {
        path: place.to_owned(),
        ..disk.node.clone()
    };
    let node = same.open(Path::new("/"), Opening::Shared);
    assert_eq!(
        probe(&node.expect("the device itself")).expect("readable"),
        Found::Blank
    );
    unmount("/mnt/block");
    host.remove_mount_point(place).expect("removed");
}

fn failed_mount() {
    let disk = Disk::with(FilesystemType::Ext4);
    let request = disk.mount_request(FilesystemType::Xfs, MountAccess::ReadWrite);
    let error = host().mount(&request).expect_err("it is ext4");
    assert!(matches!(error, MountError::Invalid { .. }), "{error}");
    let call = format!(
        "mount({:?}, \"/mnt/volume\", \"xfs\", MS_NOATIME, \"\")",
        disk.node.path
    );
    assert!(error.to_string().ends_with(&call), "{error}");
    assert_eq!(mountinfo_line(MOUNT), None);

    let source = Path::new("/mnt/nothing");
    let error = host().bind(source, Path::new(MOUNT), Access::ReadOnly, &[]);
    let error = error.expect_err("no source").to_string();
    assert!(error.contains("MOUNT_ATTR_RDONLY"), "{error}");
    assert_eq!(mountinfo_line(MOUNT), None);
}

fn another_disk() {
    let disk = Disk::connected();
    let mut old = disk.node.clone();
    old.diskseq = old.diskseq.map(|Diskseq(number)| Diskseq(number - 1));
    let request = FormatRequest {
        device: old.clone(),
        ..disk.request(FilesystemType::Ext4)
    };
    let is_other = |error: &OpenNodeError| matches!(error, OpenNodeError::OtherDisk { .. });
    match host().format(&request) {
        Err(FormatError::Device(error)) if is_other(&error) => {}
        other => panic!("{other:?}"),
    }
    let request = MountRequest {
        device: old,
        ..disk.mount_request(FilesystemType::Ext4, MountAccess::ReadWrite)
    };
    match host().mount(&request) {
        Err(MountError::Device(error)) if is_other(&error) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(disk.found(), Found::Blank);
}
