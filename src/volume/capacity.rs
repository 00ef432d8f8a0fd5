//! How large a volume is, and how full.

/// How much of something a volume has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Of what.
    pub unit: Unit,
    /// In all.
    pub total: u64,
    /// Of that in use.
    pub used: u64,
    /// Of that left to users without privileges.
    pub available: u64,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Inodes.
    Inodes,
}
