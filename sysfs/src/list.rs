//! The short listing: what `nvme list-subsys -o json` prints, and nothing that it does not.
//!
//! Invariant: texts are as the kernel prints them, without the line break.

/// One host as which this machine is connected, with the subsystems that it sees so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedHost {
    /// `hostnqn` of the controllers; absent for those that have none (PCIe).
    pub hostnqn: Option<String>,
    /// `hostid` of the controllers; absent for those that have none (PCIe).
    pub hostid: Option<String>,
    /// Subsystems by number.
    pub subsystems: Vec<ListedSubsystem>,
}

/// One subsystem with at least one controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedSubsystem {
    /// `nvme-subsys0`.
    pub name: String,
    /// Its qualified name.
    pub nqn: String,
    /// Its controllers by number.
    pub paths: Vec<ListedPath>,
}

/// One controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPath {
    /// `nvme3`.
    pub name: String,
    /// Attribute `transport`.
    pub transport: String,
    /// Attribute `address`.
    pub address: String,
    /// Attribute `state`.
    pub state: String,
}
