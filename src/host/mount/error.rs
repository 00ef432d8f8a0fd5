//! Why a mount or an unmount failed, one variant for each condition that a caller or a user can do
//! something about.
//!
//! Source: mount(2), umount(2), mount_setattr(2), and fs/ext4/super.c, fs/xfs/xfs_super.c of the
//! kernel for what each errno means there.

use std::io;
use std::path::{Path, PathBuf};

use nvme_fabrics::KernelLog;
use rustix::io::Errno;
use thiserror::Error;

use super::{BindCall, MountCall};
use crate::host::device_node::OpenNodeError;
use crate::host::filesystem_type::FilesystemType;

/// Why something was not mounted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MountError {
    /// The device is not the one that is meant, or cannot be opened.
    #[error("the device to be mounted is not usable")]
    Device(#[from] OpenNodeError),
    /// The options do not fit into the page that the kernel reads.
    #[error("the mount options are longer than the kernel takes: {call}")]
    TooLong {
        /// What was to be called.
        call: MountCall,
    },
    /// EBUSY: something else owns the device, it is mounted in another way, or (of an ext4 with
    /// multi-mount protection) its block for that says that somebody else has it.
    #[error(
        "the device is in use, or mounted with other options or, where it has multi-mount \
         protection, by another machine (EBUSY): {call}"
    )]
    Busy {
        /// What was called.
        call: MountCall,
    },
    /// EUCLEAN or EBADMSG: metadata that cannot be, or whose checksum is wrong.
    #[error("the filesystem needs repair ({errno}), run {}: {call}", repair_tool(call.fs))]
    NeedsRepair {
        /// What was called.
        call: MountCall,
        /// What the kernel answered.
        errno: Errno,
    },
    /// ENODEV: the kernel does not know the filesystem.
    #[error("the kernel has no {} (ENODEV), load its module: {call}", call.fs)]
    NoFilesystem {
        /// What was called.
        call: MountCall,
    },
    /// EINVAL: there is no such filesystem on the device, or an option does not suit the kernel.
    #[error(
        "the device holds no usable {}, or the kernel does not take an option (EINVAL{}{said}): {call}",
        call.fs,
        if said.is_empty() { "" } else { ", " }
    )]
    Invalid {
        /// What was called.
        call: MountCall,
        /// What the kernel logged about it, or nothing.
        said: Box<str>,
    },
    /// EROFS or EACCES: the device cannot be written.
    #[error("the device is read-only ({errno}): {call}")]
    ReadOnlyDevice {
        /// What was called.
        call: MountCall,
        /// What the kernel answered.
        errno: Errno,
    },
    /// EIO, ENXIO and the like: the device does not answer.
    #[error("the device cannot be read: {call}")]
    DeviceFailed {
        /// What was called.
        call: MountCall,
        /// What the kernel answered.
        source: Errno,
    },
    /// Anything else.
    #[error("cannot mount: {call}")]
    Other {
        /// What was called.
        call: MountCall,
        /// What the kernel answered.
        source: Errno,
    },
    /// A bind mount was not made.
    #[error("cannot bind: {call}")]
    Bind {
        /// What was to be done.
        call: BindCall,
        /// What the kernel answered.
        source: Errno,
    },
}

impl MountError {
    /// What the errno of `mount(2)` means, and what the kernel logged meanwhile about the device.
    pub(super) fn from_mount(
        call: MountCall,
        errno: Errno,
        log: io::Result<KernelLog>,
    ) -> MountError {
        match errno {
            Errno::BUSY => MountError::Busy { call },
            Errno::UCLEAN | Errno::BADMSG => MountError::NeedsRepair { call, errno },
            Errno::NODEV => MountError::NoFilesystem { call },
            Errno::INVAL => {
                let said = find_said(&call, log).unwrap_or_default().into();
                MountError::Invalid { call, said }
            }
            // `bdev_open` refuses to write to a read-only device with EACCES.
            Errno::ROFS | Errno::ACCESS => MountError::ReadOnlyDevice { call, errno },
            Errno::IO | Errno::NXIO | Errno::NODATA | Errno::TIMEDOUT => {
                let source = errno;
                MountError::DeviceFailed { call, source }
            }
            source => MountError::Other { call, source },
        }
    }

    pub(super) fn from_bind(call: BindCall, source: Errno) -> MountError {
        MountError::Bind { call, source }
    }
}

/// The first line of the kernel about the device: `XFS (dm-0): …`, `EXT4-fs (nvme0n1): …`.
fn find_said(call: &MountCall, log: io::Result<KernelLog>) -> Option<String> {
    let name = call.device.file_name()?.to_str()?;
    let about = format!("({name}): ");
    let lines = log.and_then(|mut log| log.read()).ok()?;
    let mut said = lines.iter().filter_map(|line| line.split_once(&about));
    said.next().map(|(_, said)| said.trim_end().to_owned())
}

/// What repairs a filesystem that cannot be repaired automatically.
pub(crate) fn repair_tool(fs: FilesystemType) -> &'static str {
    match fs {
        FilesystemType::Ext4 => "e2fsck",
        FilesystemType::Xfs => "xfs_repair",
    }
}

/// Why something is still mounted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UnmountError {
    /// EBUSY: files of it are open, or something is mounted on it.
    #[error("umount2({target:?}, UMOUNT_NOFOLLOW): the mount is in use (EBUSY)")]
    Busy {
        /// The mount.
        target: PathBuf,
    },
    /// EINVAL or ENOENT: nothing is mounted there.
    #[error("umount2({target:?}, UMOUNT_NOFOLLOW): nothing is mounted there ({errno})")]
    NotMounted {
        /// The place.
        target: PathBuf,
        /// What the kernel answered.
        errno: Errno,
    },
    /// Anything else.
    #[error("umount2({target:?}, UMOUNT_NOFOLLOW)")]
    Other {
        /// The mount.
        target: PathBuf,
        /// What the kernel answered.
        source: Errno,
    },
}

impl UnmountError {
    pub(super) fn new(target: &Path, errno: Errno) -> UnmountError {
        let target = target.to_owned();
        match errno {
            Errno::BUSY => UnmountError::Busy { target },
            Errno::INVAL | Errno::NOENT => UnmountError::NotMounted { target, errno },
            source => UnmountError::Other { target, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(errno: Errno, fs: FilesystemType) -> String {
        let nothing = || Err(io::ErrorKind::NotFound.into());
        failed_beside(errno, fs, nothing())
    }

    fn failed_beside(errno: Errno, fs: FilesystemType, log: io::Result<KernelLog>) -> String {
        let call = MountCall {
            device: "/dev/nvme0n1".into(),
            target: "/a b".into(),
            fs,
            flags: "MS_RDONLY|MS_NOATIME".to_owned(),
            data: "discard".to_owned(),
        };
        MountError::from_mount(call, errno, log).to_string()
    }

    #[test]
    fn every_known_cause_has_its_own_words_and_the_call() {
        for (errno, words) in [
            (Errno::BUSY, "is in use"),
            (Errno::NODEV, "the kernel has no ext4"),
            (Errno::INVAL, "holds no usable ext4"),
            (Errno::ROFS, "is read-only"),
            (Errno::ACCESS, "is read-only"),
            (Errno::IO, "cannot be read"),
            (Errno::PERM, "cannot mount"),
        ] {
            let text = failed(errno, FilesystemType::Ext4);
            assert!(text.contains(words), "{text}");
            assert!(
                text.ends_with(
                    "mount(\"/dev/nvme0n1\", \"/a b\", \"ext4\", MS_RDONLY|MS_NOATIME, \"discard\")"
                ),
                "{text}"
            );
        }
    }

    #[test]
    fn what_the_kernel_logged_about_the_device_is_told() {
        let root = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(root.path().join("dev")).expect("a directory");
        let kmsg = root.path().join("dev/kmsg");
        let earlier = "3,1,1,-;XFS (nvme0n1): earlier\n";
        std::fs::write(&kmsg, earlier).expect("a log");
        let log = KernelLog::open(root.path());
        let later = "3,2,2,-;XFS (nvme1n1): another\n3,3,3,-;XFS (nvme0n1): Filesystem has duplicate UUID\n";
        std::fs::write(&kmsg, earlier.to_owned() + later).expect("a log");
        let text = failed_beside(Errno::INVAL, FilesystemType::Xfs, log);
        let words = "(EINVAL, Filesystem has duplicate UUID): mount(";
        assert!(text.contains(words), "{text}");
    }

    #[test]
    fn a_damaged_filesystem_names_the_tool_that_repairs_it() {
        for (fs, tool) in [
            (FilesystemType::Ext4, "run e2fsck:"),
            (FilesystemType::Xfs, "run xfs_repair:"),
        ] {
            for errno in [Errno::UCLEAN, Errno::BADMSG] {
                let text = failed(errno, fs);
                assert!(text.contains(tool), "{text}");
            }
        }
    }

    #[test]
    fn a_mount_in_use_is_told_from_no_mount() {
        let error = |errno| UnmountError::new(Path::new("/a"), errno);
        assert!(matches!(error(Errno::BUSY), UnmountError::Busy { .. }));
        for errno in [Errno::INVAL, Errno::NOENT] {
            assert!(matches!(error(errno), UnmountError::NotMounted { .. }));
        }
        assert_eq!(
            error(Errno::IO).to_string(),
            "umount2(\"/a\", UMOUNT_NOFOLLOW)"
        );
    }
}
