//! What is on a block device, told by its signatures.
//!
//! Only reads. Invariants: every read must succeed, or the answer is an error; a device is
//! [`Found::Blank`] only when every area in which any known format keeps a signature is zero;
//! anything else that is not known is [`Found::Unknown`], which is not blank. Where there is an ext or
//! xfs, what is inside of it are the contents of files and no signatures.

mod area;
mod ext;
mod foreign;
mod partition;
mod raid;
#[cfg(test)]
mod tests;
mod xfs;
mod xfs_log;
mod zfs;

use std::fmt;
use std::io;

use thiserror::Error;

pub use area::ReadAt;
use area::{Areas, Outside};
pub use ext::{Check, Ext, ExtVersion, Layout};
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

/// The state of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Journal {
    /// There is nothing in it that is not in its place, or there is no journal.
    Clean,
    /// It has to be replayed: the filesystem is mounted somewhere, or was not unmounted.
    NeedsRecovery,
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
    let filesystem = find_filesystem(device, &areas)?;
    let outside = Outside {
        filesystem_bytes: filesystem.as_ref().map_or(0, Found::filesystem_bytes),
    };
    let container = foreign::find_container(&areas, outside)
        .or_else(|| raid::find(&areas, outside))
        .or_else(|| partition::find(&areas, outside))
        .or_else(|| zfs::find(&areas, outside));
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
    read_bytes(device, &mut head, 0)?;
    Ok(match ext::parse(&head) {
        Some(Found::Ext(ext)) => Some(ext),
        _ => None,
    })
}

fn find_filesystem(device: &impl ReadAt, areas: &Areas) -> Result<Option<Found>, ProbeError> {
    match ext::parse(areas.head()) {
        Some(found) => Ok(Some(found)),
        None => xfs::read(device, areas.head()),
    }
}

/// Fills a buffer from a device.
fn read_bytes(device: &impl ReadAt, buffer: &mut [u8], offset: u64) -> Result<(), ProbeError> {
    let length = buffer.len();
    let read = device.read_exact_at(buffer, offset);
    read.map_err(|source| ProbeError::Read {
        offset,
        length,
        source,
    })
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
