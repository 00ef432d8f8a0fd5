//! What is in the image runs, and the image can be built.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output};

use kernel_lab::command::find_program;

use crate::context::{self, EPOCH, repository};

const MIB: u64 = 1024 * 1024;

pub(crate) fn a_filesystem_is_made_and_checked_with_nothing_but_the_image() {
    let context = context::make();
    let rootfs = context.path().join("rootfs");
    let disk = File::create(rootfs.join("run/disk")).expect("a file");
    disk.set_len(64 * MIB).expect("a sparse file");
    run(
        &rootfs,
        "/usr/sbin/mke2fs",
        &["-t", "ext4", "-F", "/run/disk"],
    );
    run(&rootfs, "/usr/sbin/e2fsck", &["-f", "-p", "/run/disk"]);
    // s_magic of the superblock at 1024 (the kernel's Documentation/filesystems/ext4).
    assert_eq!(read_at(&rootfs.join("run/disk"), 1024 + 0x38), [0x53, 0xef]);

    let disk = File::create(rootfs.join("run/disk")).expect("a file");
    // mkfs.xfs takes no less than 300 MB.
    disk.set_len(320 * MIB).expect("a sparse file");
    run(&rootfs, "/usr/sbin/mkfs.xfs", &["/run/disk"]);
    assert_eq!(&read_at(&rootfs.join("run/disk"), 0), b"XFSB");
}

pub(crate) fn the_program_starts_with_nothing_but_the_image() {
    let context = context::make();
    let output = run(
        &context.path().join("rootfs"),
        "/usr/bin/nvmeof-csi",
        &["--version"],
    );
    let version = concat!("nvmeof-csi ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(String::from_utf8_lossy(&output.stdout), version);
}

pub(crate) fn buildah_builds_the_dockerfile() {
    let context = context::make();
    let storage = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let dockerfile = repository().join("deploy/image/Dockerfile");
    let mut build = buildah(storage.path(), "bud");
    build
        .args(["--isolation", "chroot", "--tag", "nvmeof-csi:test"])
        .args(["--timestamp", &EPOCH.to_string(), "--file"])
        .arg(dockerfile)
        .arg(context.path());
    succeed(&mut build);
    let mut inspect = buildah(storage.path(), "inspect");
    inspect.args([
        "--type",
        "image",
        "--format",
        "{{.OCIv1.Config.Entrypoint}}",
    ]);
    let output = succeed(inspect.arg("nvmeof-csi:test"));
    let entry = String::from_utf8_lossy(&output.stdout);
    assert_eq!(entry.trim(), "[/usr/bin/nvmeof-csi]");
}

/// buildah with its storage in a directory of ours; vfs needs nothing of the kernel.
fn buildah(storage: &Path, verb: &str) -> Command {
    let mut command = Command::new("buildah");
    command
        .arg("--root")
        .arg(storage.join("root"))
        .arg("--runroot")
        .arg(storage.join("run"))
        .args(["--storage-driver", "vfs", verb]);
    command
}

/// Runs a program of the image with the image as its root and without a variable of ours.
fn run(rootfs: &Path, program: &str, arguments: &[&str]) -> Output {
    let chroot = find_program("chroot").expect("coreutils has it");
    let mut command = Command::new(chroot);
    command.arg(rootfs).arg(program).args(arguments).env_clear();
    succeed(&mut command)
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{command:?}: {output:#?}");
    output
}

fn read_at<const N: usize>(path: &Path, offset: u64) -> [u8; N] {
    let mut bytes = [0; N];
    let file = File::open(path).expect("a file");
    file.read_exact_at(&mut bytes, offset).expect("its bytes");
    bytes
}
