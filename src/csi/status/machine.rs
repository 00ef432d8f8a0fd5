//! The codes of what the machine answers: devices, filesystems and mounts.

use tonic::Code;

use super::Coded;
use crate::host::device_node::OpenNodeError;
use crate::host::{CheckError, FormatError, MapError, MountError, MountPointError, UnmountError};
use crate::volume::{InspectError, UnmountVolumeError};

impl Coded for OpenNodeError {
    fn code(&self) -> Code {
        match self {
            // Whoever owns the device has to let go of it.
            OpenNodeError::InUse { .. } => Code::FailedPrecondition,
            // The disk is going or coming; the next call looks for it anew.
            OpenNodeError::Open { .. }
            | OpenNodeError::OtherDisk { .. }
            | OpenNodeError::Diskseq(_) => Code::Unavailable,
            OpenNodeError::NotBlock { .. } => Code::Internal,
        }
    }
}

impl Coded for InspectError {
    fn code(&self) -> Code {
        match self {
            InspectError::Open(error) => error.code(),
            // The device does not answer now.
            InspectError::Probe { .. } => Code::Unavailable,
        }
    }
}

impl Coded for FormatError {
    fn code(&self) -> Code {
        match self {
            FormatError::Device(error) => error.code(),
            FormatError::Probe { .. } => Code::Unavailable,
            // Data could be lost: a person has to look.
            FormatError::NotBlank { .. } | FormatError::OtherSize { .. } => {
                Code::FailedPrecondition
            }
            FormatError::NotMade { .. } | FormatError::Program { .. } => Code::Internal,
        }
    }
}

impl Coded for CheckError {
    fn code(&self) -> Code {
        match self {
            CheckError::Device(error) => error.code(),
            // A person has to repair it.
            CheckError::Uncorrected { .. } => Code::FailedPrecondition,
            CheckError::Program { .. } => Code::Internal,
        }
    }
}

impl Coded for MountError {
    fn code(&self) -> Code {
        match self {
            MountError::Device(error) => error.code(),
            // The device does not answer now.
            MountError::DeviceFailed { .. } => Code::Unavailable,
            // Somebody has to change the mount flags, the node or the filesystem.
            MountError::TooLong { .. }
            | MountError::Busy { .. }
            | MountError::NeedsRepair { .. }
            | MountError::NoFilesystem { .. }
            | MountError::Invalid { .. }
            | MountError::ReadOnlyDevice { .. } => Code::FailedPrecondition,
            MountError::Other { .. } | MountError::Bind { .. } => Code::Internal,
        }
    }
}

impl Coded for UnmountVolumeError {
    fn code(&self) -> Code {
        match self {
            // Not ours to unmount.
            UnmountVolumeError::Foreign { .. } => Code::FailedPrecondition,
            UnmountVolumeError::Unmount { source, .. } => source.code(),
            UnmountVolumeError::Look(_) | UnmountVolumeError::StillMounted { .. } => Code::Internal,
        }
    }
}

impl Coded for UnmountError {
    fn code(&self) -> Code {
        match self {
            // Whoever has files open has to close them; kubelet tries again meanwhile.
            UnmountError::Busy { .. } => Code::FailedPrecondition,
            UnmountError::NotMounted { .. } | UnmountError::Other { .. } => Code::Internal,
        }
    }
}

impl Coded for MapError {
    fn code(&self) -> Code {
        match self {
            // The administrator has to load a module, or to end what uses the disk or the name.
            MapError::NoControl { .. }
            | MapError::NoTarget { .. }
            | MapError::Busy { .. }
            | MapError::Exists { .. } => Code::FailedPrecondition,
            // Its disk went away in this moment, or somebody removed it or changes it, or something below it waits.
            MapError::Missing { .. }
            | MapError::Call { .. }
            | MapError::Locked { .. }
            | MapError::Waits { .. } => Code::Unavailable,
        }
    }
}

impl Coded for MountPointError {
    fn code(&self) -> Code {
        match self {
            // Something that is not ours is in the way: a person has to look.
            MountPointError::Mounted { .. }
            | MountPointError::NotEmpty { .. }
            | MountPointError::WrongKind { .. } => Code::FailedPrecondition,
            MountPointError::Call { .. } => Code::Internal,
        }
    }
}
