//! Subsystems: `/sys/class/nvme-subsystem/nvme-subsysN`.
//!
//! Invariant: a subsystem without controllers is legal: it lives as long as a controller or an open disk refers to it.

use crate::controller::Controller;
use crate::error::Unknown;
use crate::namespace::Namespace;
use crate::nqn::Nqn;
use crate::word::kernel_word;

kernel_word! {
    /// What a subsystem is for, attribute `subsystype` (since 5.16).
    SubsystemType {
        /// Namespaces.
        Nvm = "nvm",
        /// The discovery log.
        Discovery = "discovery",
        /// A value that the specification does not define.
        Reserved = "reserved",
    }
}

kernel_word! {
    /// How the paths of a head share the I/O, attribute `iopolicy` (since 5.1).
    IoPolicy {
        /// The path next to the processor's memory.
        Numa = "numa",
        /// One after the other.
        RoundRobin = "round-robin",
        /// The one with the fewest requests in flight (since 6.11).
        QueueDepth = "queue-depth",
    }
}

/// One subsystem as sysfs shows it at one moment, with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subsystem {
    /// Name of the entry, `nvme-subsys0`.
    pub name: String,
    /// Its qualified name; absent when the text is no [`Nqn`].
    pub nqn: Option<Nqn>,
    /// The qualified name as the kernel prints it, without the line break; empty if it could not be read. What is no
    /// [`Nqn`] must not make the other subsystems unreadable.
    pub nqn_text: String,
    /// What it is for (since 5.16).
    pub subsystype: Option<SubsystemType>,
    /// Model number.
    pub model: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// Firmware revision.
    pub firmware_rev: Option<String>,
    /// How paths share the I/O; told with `nvme_core.multipath=N` too, where nothing is shared.
    pub iopolicy: Option<IoPolicy>,
    /// Controllers by number.
    pub controllers: Vec<Controller>,
    /// Disks by number: multipath heads, and the controllers' own disks.
    pub namespaces: Vec<Namespace>,
    /// What of it could not be read; not what is unknown of its controllers and disks.
    pub unknown: Vec<Unknown>,
}
