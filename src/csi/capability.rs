//! `VolumeCapability`: as what a volume is used, and by whom.
//!
//! A raw block device is only handed on, so several nodes may share one: live migration of a virtual
//! machine needs that. The filesystems here believe that they are alone, so several nodes may only
//! read one.

use super::invalid::InvalidRequest;
use super::proto::VolumeCapability;
use super::proto::volume_capability::access_mode::Mode;
use super::proto::volume_capability::{AccessType as Wire, MountVolume};
use crate::host::ParseMountFlagError;
use crate::volume::request::{AccessMode, AccessType, Capability, FilesystemType, MountFlag};

const FIELD: &str = "volume_capability";
const FLAGS: &str = "volume_capability.mount.mount_flags";

/// How many mount flags a volume may have: more than there are different ones.
pub const MAX_FLAGS: usize = 64;
/// How much of what is wrong with a flag is said, in bytes: the flag is a part of it.
const SHOWN: usize = 1024;

/// The StorageClass's key for the type of the filesystem. The provisioner takes it out and fills
/// `fs_type`; in the attributes of a PersistentVolume written by hand it arrives here.
pub(super) const FSTYPE_KEY: &str = "csi.storage.k8s.io/fstype";

/// Checks a capability that has to be there. `fstype` is the value of [`FSTYPE_KEY`].
pub(super) fn parse(
    capability: Option<VolumeCapability>,
    fstype: Option<&str>,
) -> Result<Capability, InvalidRequest> {
    let capability = capability.ok_or_else(|| InvalidRequest::missing(FIELD))?;
    let mode = capability.access_mode.unwrap_or_default().mode;
    let mode = parse_mode(mode)?;
    let access = match capability.access_type {
        None => return Err(InvalidRequest::missing("volume_capability.access_type")),
        Some(Wire::Block(_)) => AccessType::Block,
        Some(Wire::Mount(mount)) => parse_mount(mount, fstype)?,
    };
    if access != AccessType::Block && is_shared_for_writing(mode) {
        return Err(InvalidRequest::field(
            "volume_capability.access_mode",
            "MULTI_NODE_SINGLE_WRITER and MULTI_NODE_MULTI_WRITER are for raw block volumes only: \
             a filesystem that another node changes is destroyed",
        ));
    }
    Ok(Capability { access, mode })
}

fn is_shared_for_writing(mode: AccessMode) -> bool {
    matches!(
        mode,
        AccessMode::MultiNodeSingleWriter | AccessMode::MultiNodeMultiWriter
    )
}

fn parse_mode(mode: i32) -> Result<AccessMode, InvalidRequest> {
    match Mode::try_from(mode) {
        Ok(Mode::SingleNodeWriter) => Ok(AccessMode::SingleNodeWriter),
        Ok(Mode::SingleNodeReaderOnly) => Ok(AccessMode::SingleNodeReaderOnly),
        Ok(Mode::SingleNodeSingleWriter) => Ok(AccessMode::SingleNodeSingleWriter),
        Ok(Mode::SingleNodeMultiWriter) => Ok(AccessMode::SingleNodeMultiWriter),
        Ok(Mode::MultiNodeReaderOnly) => Ok(AccessMode::MultiNodeReaderOnly),
        Ok(Mode::MultiNodeSingleWriter) => Ok(AccessMode::MultiNodeSingleWriter),
        Ok(Mode::MultiNodeMultiWriter) => Ok(AccessMode::MultiNodeMultiWriter),
        Ok(Mode::Unknown) => Err(InvalidRequest::missing("volume_capability.access_mode")),
        Err(_) => Err(InvalidRequest::value(
            "volume_capability.access_mode",
            mode.to_string(),
            "is not a mode of CSI 1.13",
        )),
    }
}

fn parse_mount(mount: MountVolume, fstype: Option<&str>) -> Result<AccessType, InvalidRequest> {
    if !mount.volume_mount_group.is_empty() {
        return Err(InvalidRequest::value(
            "volume_capability.mount.volume_mount_group",
            mount.volume_mount_group,
            "is refused: kubelet sets the group of the files (VOLUME_MOUNT_GROUP is not announced)",
        ));
    }
    let number = mount.mount_flags.len();
    if number > MAX_FLAGS {
        let rule = format!("has {number} flags, at most {MAX_FLAGS} are allowed");
        return Err(InvalidRequest::field(FLAGS, rule));
    }
    let fs = parse_fs_type(&mount.fs_type, fstype)?;
    let flags = mount.mount_flags.into_iter().map(parse_flag);
    let flags = flags.collect::<Result<Vec<MountFlag>, _>>()?;
    for flag in &flags {
        flag.check_filesystem(fs).map_err(invalid_flag)?;
    }
    Ok(AccessType::Filesystem { fs, flags })
}

fn parse_flag(flag: String) -> Result<MountFlag, InvalidRequest> {
    flag.parse().map_err(invalid_flag)
}

fn invalid_flag(error: ParseMountFlagError) -> InvalidRequest {
    let mut rule = error.to_string();
    rule.truncate(rule.floor_char_boundary(SHOWN));
    InvalidRequest::field(FLAGS, rule)
}

fn parse_fs_type(fs_type: &str, fstype: Option<&str>) -> Result<FilesystemType, InvalidRequest> {
    const FS_TYPE: &str = "volume_capability.mount.fs_type";
    let word = match fstype {
        Some(word) if fs_type.is_empty() || fs_type == word => word,
        Some(word) => {
            let rule = format!("differs from {word:?}, volume_context[{FSTYPE_KEY:?}]");
            return Err(InvalidRequest::value(FS_TYPE, fs_type, rule));
        }
        None => fs_type,
    };
    match word {
        "" | "ext4" => Ok(FilesystemType::Ext4),
        "xfs" => Ok(FilesystemType::Xfs),
        _ => Err(InvalidRequest::value(FS_TYPE, word, "must be ext4 or xfs")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csi::proto::volume_capability::{AccessMode as WireMode, BlockVolume};

    fn capability(access: Wire, mode: Mode) -> Option<VolumeCapability> {
        Some(VolumeCapability {
            access_type: Some(access),
            access_mode: Some(WireMode { mode: mode.into() }),
        })
    }

    fn mount(fs_type: &str) -> Wire {
        Wire::Mount(MountVolume {
            fs_type: fs_type.to_owned(),
            ..MountVolume::default()
        })
    }

    fn fs_of(fs_type: &str, fstype: Option<&str>) -> Result<FilesystemType, InvalidRequest> {
        let parsed = parse(capability(mount(fs_type), Mode::SingleNodeWriter), fstype)?;
        match parsed.access {
            AccessType::Filesystem { fs, .. } => Ok(fs),
            AccessType::Block => panic!("a filesystem was asked for"),
        }
    }

    #[test]
    fn the_filesystem_is_ext4_unless_either_place_says_xfs() {
        assert_eq!(fs_of("", None), Ok(FilesystemType::Ext4));
        assert_eq!(fs_of("xfs", None), Ok(FilesystemType::Xfs));
        assert_eq!(fs_of("", Some("xfs")), Ok(FilesystemType::Xfs));
        assert_eq!(fs_of("xfs", Some("xfs")), Ok(FilesystemType::Xfs));
    }

    #[test]
    fn two_places_that_differ_and_other_filesystems_are_refused() {
        let error = fs_of("ext4", Some("xfs")).expect_err("two types");
        assert!(
            error.to_string().contains("differs from \"xfs\""),
            "{error}"
        );
        for (fs_type, fstype) in [("ext3", None), ("XFS", None), ("", Some("btrfs"))] {
            let error = fs_of(fs_type, fstype).expect_err(fs_type);
            assert!(
                error.to_string().ends_with("must be ext4 or xfs"),
                "{error}"
            );
        }
    }

    #[test]
    fn several_nodes_may_write_a_device_but_only_read_a_filesystem() {
        let block = || Wire::Block(BlockVolume {});
        for mode in [Mode::MultiNodeSingleWriter, Mode::MultiNodeMultiWriter] {
            parse(capability(block(), mode), None).expect("a device");
            let error = parse(capability(mount(""), mode), None).expect_err("a filesystem");
            assert!(
                error.to_string().contains("raw block volumes only"),
                "{error}"
            );
        }
        parse(capability(mount(""), Mode::MultiNodeReaderOnly), None).expect("read only");
    }

    #[test]
    fn a_dangerous_mount_flag_is_refused_by_name() {
        let flagged = Wire::Mount(MountVolume {
            mount_flags: vec!["noatime".to_owned(), "barrier=0".to_owned()],
            ..MountVolume::default()
        });
        let error = parse(capability(flagged, Mode::SingleNodeWriter), None).expect_err("a flag");
        let text = error.to_string();
        assert!(
            text.contains("mount_flags") && text.contains("barrier=0"),
            "{text}"
        );
    }
}
