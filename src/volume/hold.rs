//! How the I/O of a volume is kept waiting while no path exists.
//!
//! Which way is decided once, when a volume is staged, and stands in its record. With a
//! device-mapper map the kernel's own reconnecting is off: at the first loss it drops the controller,
//! all I/O rises into the map, which is suspended then, and the map gets a new disk only after its
//! identity was proved. The kernel's own ways to wait send what waits *before* they compare anything.
//!
//! Invariant: no map gets a disk whose identity was not proved while the map already held it open.

mod choice;
mod company;
mod holds;
mod keep;
mod let_go;
mod map;
mod pass;
mod release;
mod suspend;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::text;
use crate::host::MapId;
pub use choice::{ChooseHoldError, HoldError};
pub(super) use company::Company;
pub use company::{CompanyError, Keeping};
pub use holds::Holds;
pub use keep::KeepError;
pub use let_go::{LetGo, LetGoError, Waits};
pub(super) use map::Below;
pub use map::{SwapError, Swapped};
pub use pass::{MEDIA_ERRORS_LAST, Passed};
pub use release::{Recorded, ReleaseError, Released, release};
pub use suspend::Suspended;

/// How the I/O of one volume is kept waiting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Hold {
    /// By a device-mapper map over its disk.
    Dm(#[serde(with = "text")] MapId),
    /// By its head, which outlives the last path.
    Native,
    /// Only by the kernel's own reconnecting.
    None,
}

impl Hold {
    /// The map, if there is one.
    #[must_use]
    pub fn map(&self) -> Option<MapId> {
        match self {
            Hold::Dm(map) => Some(*map),
            Hold::Native | Hold::None => None,
        }
    }

    /// The word for logs and metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Hold::Dm(_) => "dm",
            Hold::Native => "native",
            Hold::None => "none",
        }
    }
}

/// How long a head outlives its last path where the volume has no limit of its own: nothing can end
/// that time early, so it must be finite.
const NATIVE_LIMIT: Duration = Duration::from_secs(600);

/// How long a head must outlive its last path: the time for `delayed_removal_secs`.
#[must_use]
pub fn native_time(path_loss_timeout: Option<Duration>) -> Duration {
    path_loss_timeout.unwrap_or(NATIVE_LIMIT)
}
