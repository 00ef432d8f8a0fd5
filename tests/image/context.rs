//! The build context as `deploy/image/make-context` leaves it.

use std::collections::BTreeMap;
use std::env::consts::ARCH;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Any fixed moment.
pub(crate) const EPOCH: i64 = 1_700_000_000;

/// The packages that the image's programs come from.
const PACKAGES: [&str; 9] = [
    "e2fsprogs",
    "libblkid1",
    "libc6",
    "libcom-err2",
    "libext2fs2",
    "libinih1",
    "liburcu8",
    "libuuid1",
    "xfsprogs",
];

/// The libraries that mke2fs, e2fsck and mkfs.xfs need.
const LIBRARIES: [&str; 8] = [
    "libblkid.so.1",
    "libc.so.6",
    "libcom_err.so.2",
    "libe2p.so.2",
    "libext2fs.so.2",
    "libinih.so.1",
    "liburcu.so.8",
    "libuuid.so.1",
];

/// Where the DaemonSet and the container runtime mount something.
const MOUNT_POINTS: [&str; 7] = [
    "dev",
    "etc/nvme",
    "lib/modules",
    "proc",
    "run/nvme",
    "sys",
    "var/lib/kubelet",
];

/// What one entry of the context is; equal in equal contexts.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    mode: u32,
    mtime: i64,
    /// Absent for a directory.
    content: Option<Vec<u8>>,
}

/// Where `deploy/image/get-packages` leaves the packages.
pub(crate) fn packages() -> PathBuf {
    repository().join("target/image/packages")
}

pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A context around the program under test; its `rootfs` becomes the image.
pub(crate) fn make() -> TempDir {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let output = Command::new(repository().join("deploy/image/make-context"))
        .args(["--binary", env!("CARGO_BIN_EXE_nvmeof-csi"), "--output"])
        .arg(directory.path())
        .env("SOURCE_DATE_EPOCH", EPOCH.to_string())
        .output()
        .expect("it starts");
    assert!(output.status.success(), "{output:#?}");
    directory
}

pub(crate) fn the_image_holds_the_program_and_what_mkfs_and_fsck_need_and_nothing_else() {
    let context = make();
    let rootfs = context.path().join("rootfs");
    let entries = entries(&rootfs);
    let files: Vec<&str> = entries
        .iter()
        .filter(|(_, entry)| entry.content.is_some())
        .map(|(path, _)| path.as_str())
        .collect();
    assert_eq!(files, expected_files());
    for directory in MOUNT_POINTS {
        assert!(rootfs.join(directory).is_dir(), "{directory}");
    }
}

pub(crate) fn the_same_inputs_give_the_same_context() {
    let [first, second] = [make(), make()].map(|context| entries(&context.path().join("rootfs")));
    let differing: Vec<&String> = first
        .iter()
        .filter(|(path, entry)| second.get(*path) != Some(entry))
        .map(|(path, _)| path)
        .collect();
    assert!(differing.is_empty(), "{differing:?}");
    assert_eq!(first.len(), second.len());
    let of_today = first.iter().find(|(_, entry)| entry.mtime != EPOCH);
    assert!(of_today.is_none(), "{of_today:?}");
}

/// Every path below a directory.
fn entries(root: &Path) -> BTreeMap<String, Entry> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let metadata = fs::symlink_metadata(&path).expect("metadata");
            let name = path.strip_prefix(root).expect("below the root");
            let entry = Entry {
                mode: metadata.mode(),
                mtime: metadata.mtime(),
                content: (!metadata.is_dir()).then(|| fs::read(&path).expect("a file")),
            };
            found.insert(name.to_string_lossy().into_owned(), entry);
            if metadata.is_dir() {
                open.push(path);
            }
        }
    }
    found
}

fn expected_files() -> Vec<String> {
    let mut files: Vec<String> = [
        "etc/mke2fs.conf",
        "usr/bin/nvmeof-csi",
        "usr/sbin/e2fsck",
        "usr/sbin/mke2fs",
        "usr/sbin/mkfs.xfs",
        "usr/share/doc/nvmeof-csi/copyright",
        interpreter(),
    ]
    .map(str::to_owned)
    .to_vec();
    files.extend(LIBRARIES.map(|name| format!("usr/lib/{ARCH}-linux-gnu/{name}")));
    files.extend(PACKAGES.map(|name| format!("usr/share/doc/{name}/copyright")));
    files.extend(PACKAGES.map(|name| format!("var/lib/dpkg/status.d/{name}")));
    files.sort_unstable();
    files
}

/// The path of the ELF interpreter is part of each architecture's ABI.
fn interpreter() -> &'static str {
    match ARCH {
        "x86_64" => "lib64/ld-linux-x86-64.so.2",
        "aarch64" => "lib/ld-linux-aarch64.so.1",
        other => panic!("the interpreter's path on {other} is not known here"),
    }
}
