//! Mount, bind and unmount by system calls.
//!
//! A filesystem is mounted by `mount(2)`. A bind mount is made detached (`open_tree`), gets its
//! attributes (`mount_setattr`, since 5.12) and only then its place (`move_mount`), so that nobody
//! ever sees a read-only publication writable, not even after a kill between two steps. A new mount
//! gets the propagation of the place it appears at, which Kubernetes has chosen.
//!
//! Invariant: a failed call has left no mount behind.

mod attributes;
mod call;
mod error;

use std::ffi::CString;
use std::path::{Path, PathBuf};

use nvme_fabrics::KernelLog;
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};

use crate::host::device_node::{DeviceNode, Opening};
use crate::host::filesystem_type::FilesystemType;
use crate::host::mount_flag::{Effect, MountFlag};
use attributes::{Attributes, set_attributes};
use call::words;
pub use call::{BindCall, MountCall};
pub(crate) use error::repair_tool;
pub use error::{MountError, UnmountError};

/// A filesystem to be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountRequest {
    /// The device it is on.
    pub device: DeviceNode,
    /// Where it shall appear: an existing directory.
    pub target: PathBuf,
    /// Its type.
    pub fs: FilesystemType,
    /// What the user wants.
    pub flags: Vec<MountFlag>,
    /// Who may write.
    pub access: MountAccess,
}

/// Who may write to a mounted filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountAccess {
    /// This node.
    ReadWrite,
    /// No user of the mount; the filesystem itself may still replay its journal.
    ReadOnly,
    /// Nobody, because other nodes read the device too: the journal is not replayed, so it must be
    /// known to need no replay.
    ReadOnlyShared,
}

/// Whether a bind mount can be written through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// As far as its source can.
    ReadWrite,
    /// No.
    ReadOnly,
}

/// Mounts a filesystem; see [`crate::host::Host::mount`].
///
/// # Errors
/// [`MountError`].
pub(crate) fn mount(root: &Path, request: &MountRequest) -> Result<(), MountError> {
    let (flags, data) = arguments(request);
    let call = MountCall {
        device: request.device.path.clone(),
        target: request.target.clone(),
        fs: request.fs,
        flags: words(flags),
        data: data.join(","),
    };
    if call.data.len() >= MAX_DATA {
        return Err(MountError::TooLong { call });
    }
    // Kept open until the filesystem holds the device, so that its number means the same disk.
    let node = request.device.open(root, Opening::Shared)?;
    let log = KernelLog::open(root);
    let data = CString::new(call.data.clone());
    let result = data.map_err(|_| Errno::INVAL).and_then(|data| {
        let fs = call.fs.as_str();
        rustix::mount::mount(&call.device, &call.target, fs, flags, data.as_c_str())
    });
    drop(node);
    result.map_err(|errno| MountError::from_mount(call, errno, log))
}

/// The kernel copies one page of data and cuts the rest off (`copy_mount_options`).
const MAX_DATA: usize = 4096;

/// What ext4 does once it has seen that it is damaged.
const AFTER_ERRORS: &str = "errors=remount-ro";

/// The flags and data arguments of `mount(2)`.
fn arguments(request: &MountRequest) -> (MountFlags, Vec<&str>) {
    let mut flags = MountFlags::empty();
    let mut data = Vec::new();
    for flag in &request.flags {
        match flag.effect() {
            Effect::Flags(bits) => flags |= bits,
            Effect::Data(word) => data.push(word),
            Effect::Nothing => {}
        }
    }
    // Who made the filesystem may have left the default, which is to go on writing.
    let is_told = data.iter().any(|word| word.starts_with("errors="));
    if request.fs == FilesystemType::Ext4 && !is_told {
        data.push(AFTER_ERRORS);
    }
    // Who may write follows from the mode of the volume, too.
    flags.remove(MountFlags::RDONLY);
    match request.access {
        MountAccess::ReadWrite => {}
        MountAccess::ReadOnly => flags |= MountFlags::RDONLY,
        MountAccess::ReadOnlyShared => {
            flags |= MountFlags::RDONLY;
            data.push(match request.fs {
                FilesystemType::Ext4 => "noload",
                FilesystemType::Xfs => "norecovery",
            });
        }
    }
    (flags, data)
}

/// Makes `source` visible at `target`; see [`crate::host::Host::bind`].
///
/// # Errors
/// [`MountError`].
pub(crate) fn bind(
    source: &Path,
    target: &Path,
    access: Access,
    flags: &[MountFlag],
) -> Result<(), MountError> {
    let attributes = Attributes::new(access, flags);
    let call = || BindCall {
        source: source.to_owned(),
        target: target.to_owned(),
        attributes: attributes.to_string(),
    };
    bind_detached(source, target, attributes).map_err(|errno| MountError::from_bind(call(), errno))
}

fn bind_detached(source: &Path, target: &Path, attributes: Attributes) -> Result<(), Errno> {
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = rustix::mount::open_tree(CWD, source, clone)?;
    set_attributes(&tree, attributes)?;
    let place = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(&tree, "", CWD, target, place)
}

/// Unmounts what is topmost at `target`; see [`crate::host::Host::unmount`].
///
/// # Errors
/// [`UnmountError`].
pub(crate) fn unmount(target: &Path) -> Result<(), UnmountError> {
    rustix::mount::unmount(target, UnmountFlags::NOFOLLOW)
        .map_err(|source| UnmountError::new(target, source))
}

#[cfg(test)]
mod tests {
    use nvme_sysfs::DevT;

    use super::*;

    fn request(fs: FilesystemType, access: MountAccess, flags: &[&str]) -> MountRequest {
        MountRequest {
            device: DeviceNode {
                path: "/nowhere/nvme0n1".into(),
                dev: DevT {
                    major: 259,
                    minor: 0,
                },
                diskseq: None,
            },
            target: "/nowhere/target".into(),
            fs,
            flags: flags.iter().map(|flag| flag.parse().expect(flag)).collect(),
            access,
        }
    }

    #[test]
    fn bits_and_words_go_to_their_arguments() {
        let flags = [
            "noatime",
            "discard",
            "_netdev",
            "context=\"a:b:c:s0:c1,c2\"",
        ];
        let request = request(FilesystemType::Ext4, MountAccess::ReadWrite, &flags);
        let (bits, data) = arguments(&request);
        assert_eq!(bits, MountFlags::NOATIME);
        assert_eq!(
            data,
            ["discard", "context=\"a:b:c:s0:c1,c2\"", AFTER_ERRORS]
        );
    }

    #[test]
    fn what_happens_after_an_error_is_said_once() {
        let request = request(
            FilesystemType::Ext4,
            MountAccess::ReadWrite,
            &[AFTER_ERRORS],
        );
        assert_eq!(arguments(&request).1, [AFTER_ERRORS]);
    }

    #[test]
    fn readers_of_one_node_replay_the_journal_and_readers_of_many_do_not() {
        for (fs, always, word) in [
            (FilesystemType::Ext4, &[AFTER_ERRORS][..], "noload"),
            (FilesystemType::Xfs, &[][..], "norecovery"),
        ] {
            let one = request(fs, MountAccess::ReadOnly, &[]);
            assert_eq!(arguments(&one), (MountFlags::RDONLY, always.to_vec()));
            let many = request(fs, MountAccess::ReadOnlyShared, &[]);
            let words = [always, &[word]].concat();
            assert_eq!(arguments(&many), (MountFlags::RDONLY, words));
        }
    }

    #[test]
    fn options_that_the_kernel_would_cut_off_are_refused() {
        let label = format!("context={}", "x".repeat(MAX_DATA));
        let request = request(FilesystemType::Xfs, MountAccess::ReadWrite, &[&label]);
        let error = mount(Path::new("/nowhere"), &request).expect_err("too long");
        assert!(matches!(error, MountError::TooLong { .. }), "{error}");
    }

    #[test]
    fn a_device_that_is_not_there_is_not_mounted() {
        let request = request(FilesystemType::Xfs, MountAccess::ReadWrite, &[]);
        let error = mount(Path::new("/nowhere"), &request).expect_err("no node");
        assert!(matches!(error, MountError::Device(_)), "{error}");
    }

    #[test]
    fn an_unmount_of_nothing_says_so() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let error = unmount(directory.path()).expect_err("no mount");
        // Without the right to unmount, the kernel does not even look.
        assert!(
            matches!(
                error,
                UnmountError::NotMounted { .. }
                    | UnmountError::Other {
                        source: Errno::PERM,
                        ..
                    }
            ),
            "{error}"
        );
    }
}
