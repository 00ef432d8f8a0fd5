//! What is on a block device, told by its signatures.
//!
//! Only reads. Invariants: every read must succeed, or the answer is an error; a device is
//! [`Found::Blank`] only when every area in which any known format keeps a signature is zero;
//! anything else that is not known is [`Found::Unknown`], which is not blank. Trailing signatures
//! count only behind the end of a filesystem: what is inside of it is the contents of files.

mod area;
mod ext;
mod foreign;
mod partition;
mod raid;
#[cfg(test)]
mod tests;
mod xfs;
mod zfs;

use std::fmt;
use std::io;

use thiserror::Error;

use area::Areas;
pub use area::ReadAt;
pub use ext::{Check, Ext, ExtVersion, Journal, Layout};
pub use xfs::Xfs;

/// What is on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing: every area in which a known format keeps a signature is zero.
    Blank,
    /// ext2, ext3 or ext4.
    Ext(Ext),
    /// xfs.
    Xfs(Xfs),
    /// Another known format.
    Other {
        /// Its name.
        name: &'static str,
        /// Where its signature is, in bytes.
        offset: u64,
    },
    /// Bytes that are not zero and belong to no known format.
    Unknown {
        /// Where the first of them is.
        offset: u64,
    },
}

/// Why it cannot be told what is on a device.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The size of the device cannot be read.
    #[error("cannot read the size of the device")]
    Size(#[source] io::Error),
    /// It has no bytes, which is what the kernel shows of a disk that has vanished.
    #[error("the device has a size of 0 bytes")]
    Empty,
    /// A read failed or came back short.
    #[error("cannot read {length} bytes at {offset}")]
    Read {
        /// Where.
        offset: u64,
        /// How many.
        length: usize,
        /// What the kernel answered.
        source: io::Error,
    },
}

/// Tells what is on a device.
///
/// # Errors
/// [`ProbeError`], when anything that has to be looked at cannot be read.
pub fn probe(device: &impl ReadAt) -> Result<Found, ProbeError> {
    let areas = Areas::read(device)?;
    let filesystem = find_filesystem(&areas);
    let end_of_files = filesystem.as_ref().map_or(0, Found::filesystem_bytes);
    let container = foreign::find_container(&areas)
        .or_else(|| raid::find(&areas, end_of_files))
        .or_else(|| partition::find(&areas, end_of_files))
        .or_else(|| zfs::find(&areas, end_of_files));
    let found = container
        .or(filesystem)
        .or_else(|| foreign::find_other(&areas))
        .or_else(|| partition::find_bare_boot_sector(&areas));
    Ok(found.unwrap_or_else(|| match areas.first_nonzero() {
        Some(offset) => Found::Unknown { offset },
        None => Found::Blank,
    }))
}

/// Reads the ext superblock of a device, and nothing else; `None` when there is none.
///
/// # Errors
/// [`ProbeError::Read`].
pub(crate) fn read_ext(device: &impl ReadAt) -> Result<Option<Ext>, ProbeError> {
    let mut head = [0; 2048];
    let length = head.len();
    let read = device.read_exact_at(&mut head, 0);
    read.map_err(|source| ProbeError::Read {
        offset: 0,
        length,
        source,
    })?;
    Ok(match ext::parse(&head) {
        Some(Found::Ext(ext)) => Some(ext),
        _ => None,
    })
}

fn find_filesystem(areas: &Areas) -> Option<Found> {
    let ext = || ext::parse(areas.head());
    let xfs = || xfs::parse(areas.head());
    ext().or_else(xfs)
}

impl Found {
    /// Size of the filesystem; 0 when it is none of ours.
    fn filesystem_bytes(&self) -> u64 {
        match self {
            Found::Ext(ext) => ext.size_bytes,
            Found::Xfs(xfs) => xfs.size_bytes,
            Found::Blank | Found::Other { .. } | Found::Unknown { .. } => 0,
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Found::Blank => f.write_str("nothing"),
            Found::Ext(ext) => write!(f, "{}", ext.version),
            Found::Xfs(_) => f.write_str("xfs"),
            Found::Other { name, offset } => write!(f, "{name} (at byte {offset})"),
            Found::Unknown { offset } => write!(f, "unknown data (at byte {offset})"),
        }
    }
}
