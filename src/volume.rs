//! What a volume goes through on this node: attach, stage, publish, expand, and back.
//!
//! [`Volumes`] has the verbs; the requests it takes are the types of [`request`]. They stand on two owners, of what
//! [holds](hold) the I/O and of the [paths] that lead to it, and on the one judge of how a volume [stands](standing), over
//! which whoever has to know matches. Everything here blocks, reads the machine only below the root that it was given, and
//! changes it only through the [`Host`](crate::host::Host) that it was given.
//!
//! Invariants: a call that fails undoes what it did and nothing else; no mount, device or controller
//! is taken for the volume's before its identity is proved; what cannot be read is neither healthy
//! nor absent.

mod boot;
mod capability;
mod capacity;
pub mod condition;
pub mod expand;
mod ext4_errors;
mod filesystem;
#[cfg(test)]
mod fixture;
mod flow;
mod ground;
mod health;
pub mod hold;
pub mod identity;
mod locks;
mod mounts;
pub mod owner;
pub mod paths;
mod place;
pub mod progress;
pub mod publish;
pub mod record;
pub mod repair;
pub mod request;
pub mod sight;
mod source;
mod source_tuning;
pub mod stage;
pub mod standing;
pub mod stats;
pub mod survey;
mod text;
pub mod unmount;
pub mod unpublish;
pub mod unstage;
mod volume_id;
mod volumes;
mod xfs_shutdown;

pub use capacity::{Unit, Usage};
pub use condition::{
    HealthEntry, HealthError, HealthReason, HealthStatus, StorageHealthEntry, StorageStatus,
};
pub use expand::ExpandError;
pub use filesystem::{InspectError, PrepareError};
pub use ground::{OpenVolumesError, Timing, VolumesConfig};
pub use hold::{
    ChooseHoldError, Hold, HoldError, KeepError, LetGo, LetGoError, MEDIA_ERRORS_LAST, Passed,
    Suspended, SwapError, Swapped, Waits,
};
pub use mounts::{ForeignMountError, ReadMountsError};
pub(crate) use paths::connect_options;
pub use paths::{AttachError, DetachError};
pub use publish::PublishError;
pub use record::RecordError;
pub use sight::{LookError, Sight};
pub use stage::StageError;
pub use stats::{Condition, Stats, StatsError};
pub use survey::{SurveyError, Surveyed, survey};
pub use unmount::UnmountVolumeError;
pub use unpublish::UnpublishError;
pub use unstage::UnstageError;
pub use volume_id::VolumeId;
pub use volumes::Volumes;
