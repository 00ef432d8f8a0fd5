//! Filesystems on a namespace: made, checked, grown, refused.

use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::path::Path;

use nvme_sysfs::Diskseq;
use nvmeof_csi::host::device_node::OpenNodeError;
use nvmeof_csi::host::signature::{Check, Found, Journal};
use nvmeof_csi::host::{
    FilesystemType, FormatError, FormatRequest, Grown, Host, MountAccess, MountError, MountRequest,
};

use crate::case::Case;
use crate::disk::{Disk, MOUNT, SIZE, fingerprint, host, mountinfo_line, total_bytes, unmount};

pub(super) const CASES: &[Case] = &[
    Case::new("an_ext4_is_made_mounted_grown_and_checked", ext4_life),
    Case::new("an_xfs_is_made_mounted_grown_and_checked", xfs_life),
    Case::new(
        "a_namespace_with_foreign_data_is_not_formatted",
        foreign_data,
    ),
    Case::new(
        "a_mounted_ext4_is_neither_formatted_nor_checked",
        ext4_in_use,
    ),
    Case::new("a_mounted_xfs_is_neither_formatted_nor_checked", xfs_in_use),
    Case::new(
        "another_disk_under_the_same_name_is_not_touched",
        another_disk,
    ),
    Case::new("errors_of_an_ext4_are_found_and_corrected", corrected),
    Case::new("the_journal_of_a_mounted_ext4_needs_recovery", ext4_journal),
    Case::new("the_log_of_a_mounted_xfs_needs_recovery", xfs_journal),
];

const GROWN: u64 = 480 << 20;

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
    for wanted in [Grown::Grown, Grown::Already] {
        let grown = host.grow(mounted_at, &disk.node, fs).expect("grown");
        assert_eq!(grown, wanted);
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
    for fs in [FilesystemType::Ext4, FilesystemType::Xfs] {
        let error = host().format(&disk.request(fs)).expect_err("foreign data");
        assert!(matches!(error, FormatError::NotBlank { .. }), "{error}");
    }
    let after = fingerprint(&disk.backing);
    assert_eq!(before, after, "the device was changed");
}

fn in_use(fs: FilesystemType) {
    let disk = Disk::with(fs);
    disk.mount(fs, MountAccess::ReadWrite);
    let error = host().format(&disk.request(fs)).expect_err("mounted");
    assert!(
        matches!(error, FormatError::Device(OpenNodeError::InUse { .. })),
        "{error}"
    );
    let checked = host().check(&disk.node, FilesystemType::Ext4);
    checked.expect_err("mounted");
    unmount(MOUNT);
}

fn ext4_in_use() {
    in_use(FilesystemType::Ext4);
}

fn xfs_in_use() {
    in_use(FilesystemType::Xfs);
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

fn journal(fs: FilesystemType) {
    let journal_of = |disk: &Disk| match disk.found() {
        Found::Ext(ext) => ext.journal,
        Found::Xfs(xfs) => xfs.journal,
        other => panic!("{other}"),
    };
    let disk = Disk::with(fs);
    assert_eq!(journal_of(&disk), Journal::Clean);
    for text in ["first", "second"] {
        disk.mount(fs, MountAccess::ReadWrite);
        let mut file = File::create(Path::new(MOUNT).join(text)).expect("a file");
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .expect("a write");
        drop(file);
        assert_eq!(journal_of(&disk), Journal::NeedsRecovery);
        unmount(MOUNT);
        assert_eq!(journal_of(&disk), Journal::Clean);
    }
}

fn ext4_journal() {
    journal(FilesystemType::Ext4);
}

fn xfs_journal() {
    journal(FilesystemType::Xfs);
}
