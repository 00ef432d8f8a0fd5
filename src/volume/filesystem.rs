//! What is to be done with a device before its filesystem is mounted: the format rule.
//!
//! A device is formatted only if every area in which something could have left a signature was read
//! and is blank, and nothing says that there was a filesystem; or if a record of ours says that our
//! own format was interrupted on this very namespace, and what is there is no complete filesystem.
//! A complete one is used even then: another node may have finished, and used, what we began.

use thiserror::Error;

use super::volumes::Volumes;
use crate::host::device_node::OpenNodeError;
use crate::host::signature::{self, Check, Ext, ExtVersion, Found, Journal, ProbeError};
use crate::host::{DeviceNode, FilesystemType, FormatOver, MountAccess, MultiMount};

/// What this node remembers of the filesystem of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    /// Nothing.
    Nothing,
    /// We began to make one.
    Unfinished,
    /// It was mounted.
    Mounted,
}

/// What comes before the mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Make a filesystem.
    Format(FormatOver),
    /// Let its own program repair what it can.
    Check,
    /// Nothing.
    Mount,
}

/// Why a device is neither formatted nor mounted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PrepareError {
    /// There is something else on it.
    #[error("the device holds {found}, not {wanted}: it is not formatted")]
    Foreign {
        /// What is on it.
        found: Found,
        /// What was asked for.
        wanted: FilesystemType,
    },
    /// It was mounted here, and now it is blank.
    #[error(
        "the device held a filesystem when it was staged here and is blank now: it is not formatted"
    )]
    Emptied,
    /// Readers only, and there is nothing to read.
    #[error(
        "the device is blank, and the access mode, or `ro` among the mount options, allows nobody to write to it"
    )]
    NothingToRead,
    /// The journal must be replayed, which nobody may do.
    #[error(
        "the journal of the filesystem needs recovery, which neither an access mode for readers nor `ro` beside \
         multiMountProtection allows: mount it once for writing"
    )]
    NeedsRecovery,
    /// A protection was asked for that the filesystem does not have.
    #[error(
        "the filesystem that is on the device has no multi-mount protection: add it with \
         `tune2fs -O mmp` where it is not mounted, or leave multiMountProtection out"
    )]
    Unprotected,
}

/// Decides. Pure.
pub(super) fn next_step(
    found: &Found,
    wanted: FilesystemType,
    memory: Memory,
    access: MountAccess,
) -> Result<Step, PrepareError> {
    match (found, wanted) {
        (Found::Blank, _) => blank(memory, access),
        (Found::Ext(ext), FilesystemType::Ext4) if ext.version == ExtVersion::Ext4 => {
            ext4(ext, memory, access)
        }
        (Found::Xfs(xfs), FilesystemType::Xfs) if xfs.is_complete => {
            check_journal(xfs.journal, access)?;
            Ok(Step::Mount)
        }
        (Found::Xfs(_), FilesystemType::Xfs) => unfinished(found, wanted, memory, access),
        (Found::Unknown { .. }, _) => unfinished(found, wanted, memory, access),
        _ => Err(foreign(found, wanted)),
    }
}

fn blank(memory: Memory, access: MountAccess) -> Result<Step, PrepareError> {
    match (memory, access) {
        (Memory::Mounted, _) => Err(PrepareError::Emptied),
        (_, MountAccess::ReadWrite) => Ok(Step::Format(FormatOver::Blank)),
        (_, MountAccess::ReadOnly | MountAccess::ReadOnlyShared) => {
            Err(PrepareError::NothingToRead)
        }
    }
}

/// Whether the filesystem may use more of a device of this size: it was restored, cloned, or grown elsewhere. What is left
/// of it may also be too small for an xfs. Pure.
pub(super) fn is_smaller(found: &Found, device_bytes: u64) -> bool {
    match found {
        Found::Ext(ext) => ext.size_bytes < ext.largest_size(device_bytes),
        Found::Xfs(xfs) => xfs.size_bytes < device_bytes,
        _ => false,
    }
}

/// Refuses a filesystem that lets a second machine mount it for writing although it must not, and for readers of such a
/// volume whatever would write to it. Pure.
pub(super) fn check_multi_mount(
    found: &Found,
    wanted: MultiMount,
    access: MountAccess,
) -> Result<(), PrepareError> {
    let (Found::Ext(ext), MultiMount::Protected) = (found, wanted) else {
        return Ok(());
    };
    match (access, ext.multi_mount) {
        (MountAccess::ReadWrite, MultiMount::Unprotected) => Err(PrepareError::Unprotected),
        // A check writes.
        (MountAccess::ReadOnly, MultiMount::Unprotected) if ext.check == Check::Needed => {
            Err(PrepareError::Unprotected)
        }
        // The kernel keeps no other machine out of what it mounts read-only, and replays its journal all the same.
        (MountAccess::ReadOnly, _) => check_journal(ext.journal, MountAccess::ReadOnlyShared),
        _ => Ok(()),
    }
}

fn ext4(ext: &Ext, memory: Memory, access: MountAccess) -> Result<Step, PrepareError> {
    let asks = match (ext.check, ext.multi_mount) {
        (Check::Unneeded, _) => false,
        // e2fsck marks the filesystem as being checked, and a mark that nobody takes away, because e2fsck
        // was killed, keeps everybody out. The kernel replays the journal as well.
        (Check::Replay, MultiMount::Protected) => false,
        (Check::Replay, MultiMount::Unprotected) | (Check::Needed, _) => true,
    };
    let asks = asks || memory == Memory::Unfinished;
    check_journal(ext.journal, access)?;
    match access {
        // A check writes.
        MountAccess::ReadOnlyShared => Ok(Step::Mount),
        MountAccess::ReadWrite | MountAccess::ReadOnly if asks => Ok(Step::Check),
        MountAccess::ReadWrite | MountAccess::ReadOnly => Ok(Step::Mount),
    }
}

/// Where other nodes read the device nobody may replay the journal.
fn check_journal(journal: Journal, access: MountAccess) -> Result<(), PrepareError> {
    if access == MountAccess::ReadOnlyShared && journal == Journal::NeedsRecovery {
        return Err(PrepareError::NeedsRecovery);
    }
    Ok(())
}

/// What an interrupted format may have left.
fn unfinished(
    found: &Found,
    wanted: FilesystemType,
    memory: Memory,
    access: MountAccess,
) -> Result<Step, PrepareError> {
    match (memory, access) {
        (Memory::Unfinished, MountAccess::ReadWrite) => Ok(Step::Format(FormatOver::Unfinished)),
        _ => Err(foreign(found, wanted)),
    }
}

fn foreign(found: &Found, wanted: FilesystemType) -> PrepareError {
    PrepareError::Foreign {
        found: found.clone(),
        wanted,
    }
}

/// Why it is not known what is on a device.
#[derive(Debug, Error)]
pub enum InspectError {
    /// The device is not the one that is meant, or cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenNodeError),
    /// It cannot be read.
    #[error("cannot tell what is on {device}")]
    Probe {
        /// The device.
        device: DeviceNode,
        /// Why.
        source: ProbeError,
    },
}

impl Volumes {
    /// Reads what is on a device.
    pub(super) fn inspect(&self, device: &DeviceNode) -> Result<Found, InspectError> {
        let node = self.ground.open_node(device)?;
        signature::probe(&node).map_err(|source| InspectError::Probe {
            device: device.clone(),
            source,
        })
    }
}
