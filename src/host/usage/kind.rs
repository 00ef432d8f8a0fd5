//! The uses that a disk can have, and what may stay unseen.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::host::backing::Opener;
use crate::host::processes::Process;

/// One use of a disk or of one of its partitions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// It is mounted.
    Mounted {
        /// Kernel name of the disk or partition.
        device: String,
        /// Where, as `process` sees it.
        mount_point: PathBuf,
        /// The first process found in that mount namespace.
        process: Process,
    },
    /// Another block device is built on top of it.
    Held {
        /// Kernel name of the disk or partition.
        device: String,
        /// Kernel name of the device on top, for example `dm-0`.
        holder: String,
    },
    /// It is swapped to.
    Swap {
        /// Kernel name of the disk or partition.
        device: String,
    },
    /// The kernel has it open for a loop device or an export.
    Opened {
        /// Kernel name of the disk or partition.
        device: String,
        /// What for.
        opener: Opener,
    },
    /// A process has it open.
    Open {
        /// Kernel name of the disk, of its character device, or of the partition.
        device: String,
        /// Which process.
        process: Process,
    },
    /// The kernel refuses an exclusive open: somebody owns it whom we cannot see, for example a
    /// mount in another container.
    Owned {
        /// Kernel name of the disk or partition.
        device: String,
    },
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Use::Mounted {
                device,
                mount_point,
                process,
            } => {
                let mount_point = mount_point.display();
                write!(f, "{device} is mounted at {mount_point}, seen by {process}")
            }
            Use::Held { device, holder } => write!(f, "{device} is held by {holder}"),
            Use::Swap { device } => write!(f, "{device} is swap space"),
            Use::Opened { device, opener } => write!(f, "{device} is open in {opener}"),
            Use::Open { device, process } => write!(f, "{device} is open in {process}"),
            Use::Owned { device } => write!(
                f,
                "{device} cannot be opened exclusively: a mount, a stacked device or a process \
                    that is not visible owns it"
            ),
        }
    }
}

/// Something that could not be looked at, so that a use there would have gone unseen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gap {
    /// The mount table of a process.
    Mounts(Process, io::ErrorKind),
    /// The open files of a process.
    OpenFiles(Process, io::ErrorKind),
    /// What is behind the loop devices.
    Loops(io::ErrorKind),
    /// What this machine exports by nvmet.
    Exports(io::ErrorKind),
    /// Only the processes of a PID namespace of our own are visible.
    Namespace,
    /// The device node, so the kernel was not asked for an exclusive open.
    Node(PathBuf, io::ErrorKind),
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gap::Mounts(process, kind) => write!(f, "the mounts of {process}: {kind}"),
            Gap::OpenFiles(process, kind) => write!(f, "the open files of {process}: {kind}"),
            Gap::Loops(kind) => write!(f, "what is behind the loop devices: {kind}"),
            Gap::Exports(kind) => write!(f, "what nvmet exports: {kind}"),
            Gap::Namespace => write!(f, "processes outside this PID namespace"),
            Gap::Node(path, kind) => write!(f, "the device node {}: {kind}", path.display()),
        }
    }
}
