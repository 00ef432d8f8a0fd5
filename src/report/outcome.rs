//! What users should hear of a volume.

/// What has happened, in the words that users look for in events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// What is stale could not be mounted anew.
    RecoveryFailed,
    /// A mount leads nowhere, or elsewhere.
    StaleMountDetected,
    /// It was mounted anew.
    StaleMountRecovered,
    /// No path is usable.
    PathLost,
    /// One is usable again.
    PathRestored,
    /// A controller could not be connected.
    ConnectionFailure,
    /// A controller serves no namespace.
    OrphanDetected,
    /// It does again, or is gone.
    OrphanCleaned,
    /// Another namespace stands where the volume was.
    IdentityMismatch,
}
