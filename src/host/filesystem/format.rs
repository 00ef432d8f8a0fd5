//! Makes a filesystem: `mke2fs -t ext4` or `mkfs.xfs`.
//!
//! The device is opened exclusively and probed. Then an ordinary open keeps its number and name from
//! being re-used while the program, which opens it exclusively itself, works on it.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::{FormatError, FormatOver, FormatRequest, MultiMount};
use crate::host::command::{Invocation, Programs};
use crate::host::device_node::{DeviceNode, Opening};
use crate::host::filesystem_type::FilesystemType;
use crate::host::signature::{Found, ProbeError, ReadAt, probe};

/// Options of `mke2fs`, with what suits a volume on a network.
///
/// - no reserved blocks: they are for root's daemons on a system disk
/// - after an error nothing is written any more
/// - no discard: the device is blank, and a discard of all of it can take minutes at the target
/// - inode tables are zeroed by the kernel in the background: 16 GiB of a 1 TiB volume are inode
///   tables, which would have to go over the network first; checksums make that safe
/// - the journal is zeroed at once, so that no old one is ever replayed
///
/// No `-F`: it would also override the refusal to format a device in use.
const MKE2FS: [&str; 8] = [
    "-t",
    "ext4",
    "-m",
    "0",
    "-e",
    "remount-ro",
    "-E",
    "nodiscard,lazy_itable_init=1,lazy_journal_init=0",
];

/// Multi-mount protection, with the interval of the kernel: 5 s.
const MMP: [&str; 2] = ["-O", "mmp"];

/// No discard, as for ext4. `-f` is added only over an unfinished format.
const MKFS_XFS: [&str; 1] = ["-K"];

/// Makes the filesystem; see [`crate::host::Host::format`].
///
/// # Errors
/// [`FormatError`].
pub(crate) fn format(
    root: &Path,
    programs: &Programs,
    deadline: Duration,
    request: &FormatRequest,
) -> Result<(), FormatError> {
    let device = &request.device;
    let exclusive = device.open(root, Opening::Exclusive)?;
    check_may_format(&exclusive, request)?;
    let kept = device.open(root, Opening::Shared)?;
    drop(exclusive);
    let invocation = invocation(request, deadline);
    programs
        .run_to_success(&invocation)
        .map_err(|source| FormatError::Program {
            device: device.path.clone(),
            fs: request.fs,
            source,
        })?;
    check_made(&kept, request)
}

/// Both programs complete their superblock with their last write: killed before any one of their
/// writes, mke2fs 1.47.0 has left no ext superblock, and mkfs.xfs 6.1.0 none without
/// `sb_inprogress`. So a complete one is never the rest of an unfinished format.
fn check_may_format(node: &impl ReadAt, request: &FormatRequest) -> Result<(), FormatError> {
    let device = &request.device;
    let size = node.size();
    let found = size.map_err(|source| unreadable(device, ProbeError::Size(source)))?;
    if found != request.size_bytes {
        return Err(FormatError::OtherSize {
            device: device.path.clone(),
            found,
            expected: request.size_bytes,
        });
    }
    let found = probe(node).map_err(|source| unreadable(device, source))?;
    let may = match (request.over, &found) {
        (_, Found::Blank) => true,
        (FormatOver::Unfinished, Found::Unknown { .. }) => true,
        (FormatOver::Unfinished, Found::Xfs(xfs)) => !xfs.is_complete,
        (FormatOver::Unfinished, Found::Ext(_) | Found::Other { .. }) | (FormatOver::Blank, _) => {
            false
        }
    };
    if may {
        return Ok(());
    }
    let device = device.path.clone();
    Err(FormatError::NotBlank { device, found })
}

fn invocation(request: &FormatRequest, deadline: Duration) -> Invocation {
    let (program, options) = match request.fs {
        FilesystemType::Ext4 => ("mke2fs", &MKE2FS[..]),
        FilesystemType::Xfs => ("mkfs.xfs", &MKFS_XFS[..]),
    };
    let mut arguments: Vec<OsString> = options.iter().map(Into::into).collect();
    if (request.fs, request.over) == (FilesystemType::Xfs, FormatOver::Unfinished) {
        arguments.push("-f".into());
    }
    if (request.fs, request.multi_mount) == (FilesystemType::Ext4, MultiMount::Protected) {
        arguments.extend(MMP.iter().map(Into::into));
    }
    arguments.push(request.device.path.clone().into());
    Invocation {
        program,
        arguments,
        deadline,
    }
}

/// An exit code alone is not believed.
fn check_made(node: &impl ReadAt, request: &FormatRequest) -> Result<(), FormatError> {
    let found = probe(node).map_err(|source| unreadable(&request.device, source))?;
    match (request.fs, &found) {
        (FilesystemType::Ext4, Found::Ext(_)) => Ok(()),
        (FilesystemType::Xfs, Found::Xfs(xfs)) if xfs.is_complete => Ok(()),
        _ => Err(FormatError::NotMade {
            device: request.device.path.clone(),
            fs: request.fs,
            found,
        }),
    }
}

fn unreadable(device: &DeviceNode, source: ProbeError) -> FormatError {
    let device = device.path.clone();
    FormatError::Probe { device, source }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::FileExt;

    use nvme_sysfs::DevT;

    use super::*;

    const SIZE: u64 = 32 << 20;

    fn request(fs: FilesystemType, over: FormatOver) -> FormatRequest {
        let device = DeviceNode {
            path: "/x/nvme0n1".into(),
            dev: DevT {
                major: 259,
                minor: 0,
            },
            diskseq: None,
        };
        FormatRequest {
            device,
            size_bytes: SIZE,
            fs,
            over,
            multi_mount: MultiMount::Unprotected,
        }
    }

    fn disk(writes: &[(u64, &[u8])]) -> File {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(SIZE).expect("sparse");
        for (offset, bytes) in writes {
            file.write_all_at(bytes, *offset).expect("written");
        }
        file
    }

    fn may(over: FormatOver, writes: &[(u64, &[u8])]) -> Result<(), FormatError> {
        check_may_format(&disk(writes), &request(FilesystemType::Ext4, over))
    }

    #[test]
    fn a_blank_device_may_be_formatted() {
        may(FormatOver::Blank, &[]).expect("blank");
        may(FormatOver::Unfinished, &[]).expect("blank");
    }

    #[test]
    fn one_byte_that_is_not_known_is_enough_to_refuse() {
        let error = may(FormatOver::Blank, &[(SIZE - 1, b"x")]).expect_err("not blank");
        assert_eq!(
            error.to_string(),
            "/x/nvme0n1 is not blank, it holds unknown data (at byte 33554431): \
             refusing to format it"
        );
        may(FormatOver::Unfinished, &[(SIZE - 1, b"x")]).expect("our own rest");
    }

    #[test]
    fn what_no_format_of_ours_leaves_is_refused_even_over_an_unfinished_one() {
        let error = may(FormatOver::Unfinished, &[(0, b"LUKS\xba\xbe")]).expect_err("LUKS");
        assert!(matches!(error, FormatError::NotBlank { .. }), "{error}");
    }

    #[test]
    fn a_complete_xfs_is_refused_and_an_incomplete_one_only_over_a_blank_device() {
        let mut superblock = [0; 127];
        superblock[..8].copy_from_slice(b"XFSB\0\0\x10\0");
        may(FormatOver::Unfinished, &[(0, &superblock)]).expect_err("complete");
        superblock[126] = 1;
        may(FormatOver::Unfinished, &[(0, &superblock)]).expect("our own rest");
        may(FormatOver::Blank, &[(0, &superblock)]).expect_err("not blank");
    }

    #[test]
    fn another_size_is_refused() {
        let mut request = request(FilesystemType::Xfs, FormatOver::Blank);
        request.size_bytes += 512;
        let error = check_may_format(&disk(&[]), &request).expect_err("another size");
        assert!(matches!(error, FormatError::OtherSize { .. }), "{error}");
    }

    /// A device that answers no read beyond its first bytes.
    struct Vanishing;

    impl ReadAt for Vanishing {
        fn size(&self) -> io::Result<u64> {
            Ok(SIZE)
        }

        fn read_exact_at(&self, _buffer: &mut [u8], offset: u64) -> io::Result<()> {
            match offset {
                0 => Ok(()),
                _ => Err(io::Error::from_raw_os_error(5)),
            }
        }
    }

    #[test]
    fn a_device_that_cannot_be_read_is_not_blank() {
        let request = request(FilesystemType::Ext4, FormatOver::Blank);
        let error = check_may_format(&Vanishing, &request).expect_err("a read error");
        assert!(matches!(error, FormatError::Probe { .. }), "{error}");
    }

    #[test]
    fn force_is_used_by_xfs_alone_and_only_over_an_unfinished_format() {
        for (fs, over, expected) in [
            (
                FilesystemType::Ext4,
                FormatOver::Unfinished,
                "mke2fs -t ext4 -m 0 -e remount-ro -E nodiscard,lazy_itable_init=1,lazy_journal_init=0 \
                 /x/nvme0n1",
            ),
            (
                FilesystemType::Xfs,
                FormatOver::Blank,
                "mkfs.xfs -K /x/nvme0n1",
            ),
            (
                FilesystemType::Xfs,
                FormatOver::Unfinished,
                "mkfs.xfs -K -f /x/nvme0n1",
            ),
        ] {
            let invocation = invocation(&request(fs, over), Duration::ZERO);
            assert_eq!(invocation.to_string(), expected);
        }
    }

    #[test]
    fn multi_mount_protection_is_a_feature_of_ext4() {
        let mut request = request(FilesystemType::Ext4, FormatOver::Blank);
        request.multi_mount = MultiMount::Protected;
        let invocation = invocation(&request, Duration::ZERO).to_string();
        assert!(invocation.ends_with(" -O mmp /x/nvme0n1"), "{invocation}");
    }

    #[test]
    fn a_program_that_made_nothing_did_not_succeed() {
        let request = request(FilesystemType::Xfs, FormatOver::Blank);
        let error = check_made(&disk(&[]), &request).expect_err("still blank");
        assert!(matches!(error, FormatError::NotMade { .. }), "{error}");
    }
}
