//! Mounts and bind mounts of a namespace.

use std::fs::{self, File};
use std::path::Path;

use nvmeof_csi::host::device_node::Opening;
use nvmeof_csi::host::signature::{Found, probe};
use nvmeof_csi::host::{
    Access, DeviceNode, FilesystemType, Host, MountAccess, MountError, MountPoint, UnmountError,
};
use rustix::io::Errno;

use crate::case::Case;
use crate::disk::{Disk, MOUNT, fingerprint, host, mountinfo_line, unmount};

pub(super) const CASES: &[Case] = &[
    Case::new("a_mount_in_use_is_not_unmounted", unmount_in_use),
    Case::new("an_ext4_for_many_readers_writes_nothing", ext4_many_readers),
    Case::new("an_xfs_for_many_readers_writes_nothing", xfs_many_readers),
    Case::new("a_read_only_bind_is_read_only_and_shared", read_only_bind),
    Case::new("a_bound_device_node_is_the_device", bound_node),
    Case::new(
        "a_mount_that_fails_says_why_and_leaves_nothing",
        failed_mount,
    ),
];

fn unmount_in_use() {
    let disk = Disk::with(FilesystemType::Ext4);
    disk.mount(FilesystemType::Ext4, MountAccess::ReadWrite);
    let open = File::open(MOUNT).expect("the mount opens");
    let error = host().unmount(Path::new(MOUNT)).expect_err("in use");
    assert!(matches!(error, UnmountError::Busy { .. }), "{error}");
    drop(open);
    unmount(MOUNT);
    let error = host().unmount(Path::new(MOUNT)).expect_err("gone");
    assert!(matches!(error, UnmountError::NotMounted { .. }), "{error}");
}

fn many_readers(fs: FilesystemType) {
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
    assert_eq!(fingerprint(&disk.backing), before, "the device was changed");
}

fn ext4_many_readers() {
    many_readers(FilesystemType::Ext4);
}

fn xfs_many_readers() {
    many_readers(FilesystemType::Xfs);
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
