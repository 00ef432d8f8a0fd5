//! Why a map was not read or changed.

use std::fmt;
use std::path::PathBuf;

use rustix::io::Errno;
use thiserror::Error;

use super::id::MapId;
use super::status::ParseStatusError;
use crate::host::attribute::AttributeError;

/// One call of device-mapper, as it would be written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DmCall {
    /// Name of the command in include/uapi/linux/dm-ioctl.h.
    pub command: &'static str,
    /// UUID of the map.
    pub uuid: String,
    /// The table or message, if there is one.
    pub text: String,
}

impl fmt::Display for DmCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({:?}", self.command, self.uuid)?;
        if !self.text.is_empty() {
            write!(f, ", {:?}", self.text)?;
        }
        write!(f, ")")
    }
}

/// Why a map was not changed.
#[derive(Debug, Error)]
pub enum MapError {
    /// There is no device-mapper.
    #[error("cannot open {}: is the module dm-mod loaded?", path.display())]
    NoControl {
        /// The control device.
        path: PathBuf,
        /// Why.
        source: Errno,
    },
    /// There is no such map.
    #[error("there is no map {map}")]
    Missing {
        /// Which.
        map: MapId,
    },
    /// A map with this name or UUID exists already.
    #[error("there is a map with the name {name} or the UUID {map} already")]
    Exists {
        /// Which.
        map: MapId,
        /// Its name.
        name: String,
    },
    /// Somebody has its disk open, or owns a disk that it shall lie over.
    #[error("{call}: somebody else uses {}", users.join(", "))]
    Busy {
        /// What was called.
        call: DmCall,
        /// The disks below, each with its other holders in sysfs; or the map itself.
        users: Vec<String>,
    },
    /// Another process of this program changes it.
    #[error("{} is changing the map {map}", describe_holder(*holder))]
    Locked {
        /// Which.
        map: MapId,
        /// The process, where that can be told.
        holder: Option<u32>,
    },
    /// It cannot be suspended yet.
    #[error("{call}: I/O waits below the map")]
    Waits {
        /// What was called.
        call: DmCall,
    },
    /// The kernel has no multipath target.
    #[error("{call}: load the modules dm-multipath and dm-round-robin on the host")]
    NoTarget {
        /// What was called.
        call: DmCall,
    },
    /// The kernel refused.
    #[error("{call}")]
    Call {
        /// What was called.
        call: DmCall,
        /// What the kernel answered.
        source: Errno,
    },
}

fn describe_holder(holder: Option<u32>) -> String {
    holder.map_or_else(
        || "another process".to_owned(),
        |process| format!("process {process}"),
    )
}

/// Why the maps are not known.
#[derive(Debug, Error)]
pub enum ReadMapsError {
    /// An attribute or directory cannot be read, or makes no sense.
    #[error(transparent)]
    Attribute(#[from] AttributeError),
    /// Device-mapper did not answer.
    #[error("cannot ask device-mapper")]
    Control(#[from] MapError),
    /// It answered something else.
    #[error("cannot understand the map {map}")]
    Status {
        /// Which.
        map: MapId,
        /// Why.
        source: ParseStatusError,
    },
}
