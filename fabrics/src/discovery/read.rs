//! Reads the whole discovery log in pieces, while the target may be changing it.
//!
//! The header's generation counter is read before and after the entries; when it has changed the
//! entries may belong to two generations and everything is read again. Pieces are at most 4 KiB,
//! which every target takes. Only the last header is read with the event re-armed, so that a
//! change in between is not lost (NVMe Base 2.0, 5.16.1.23).

use std::io;

use super::ioctl::AsyncEvent;
use super::log::{
    DiscoveryEntry, DiscoveryHeader, ENTRY_LEN, HEADER_LEN, HeaderError, MalformedEntry,
};

/// Most bytes of one command.
const CHUNK: usize = 4096;

/// Most entries that are believed: 8 MiB of log.
pub(crate) const MAX_ENTRIES: u64 = 8192;

/// How often a log that keeps changing is read again; libnvme's own limit.
const MAX_ATTEMPTS: u32 = 10;

/// The entries of one discovery controller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Log {
    pub(crate) entries: Vec<DiscoveryEntry>,
    pub(crate) malformed: Vec<MalformedEntry>,
}

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadLogError {
    /// The command could not be sent.
    #[error("cannot send the command that reads the discovery log")]
    Ioctl(#[source] io::Error),
    /// The controller answered the command with a failure.
    #[error("the discovery controller answered status {status:#x}")]
    Status {
        /// Type in bits 10:8, code in bits 7:0.
        status: u16,
    },
    /// The header makes no sense.
    #[error("cannot read the discovery log")]
    Header(#[from] HeaderError),
    /// More entries than any target has.
    #[error("discovery log has {numrec} entries: at most {MAX_ENTRIES} are read")]
    TooMany {
        /// What the header says.
        numrec: u64,
    },
    /// The number of entries changed and the generation did not.
    #[error("discovery log changed from {before} to {after} entries within one generation")]
    Inconsistent {
        /// What the first header said.
        before: u64,
        /// What the last header said.
        after: u64,
    },
    /// It never held still.
    #[error("discovery log changed during each of {MAX_ATTEMPTS} attempts to read it")]
    Unstable,
}

/// Reads the log by `read(offset, buffer, event)`, which returns the command's status.
pub(crate) fn read_log<R>(mut read: R) -> Result<Log, ReadLogError>
where
    R: FnMut(u64, &mut [u8], AsyncEvent) -> io::Result<u16>,
{
    for _ in 0..MAX_ATTEMPTS {
        let before = read_header(&mut read, AsyncEvent::Retain)?;
        if before.numrec > MAX_ENTRIES {
            let numrec = before.numrec;
            return Err(ReadLogError::TooMany { numrec });
        }
        let log = read_entries(&mut read, before.numrec)?;
        let after = read_header(&mut read, AsyncEvent::Rearm)?;
        if after.genctr != before.genctr {
            continue;
        }
        if after.numrec != before.numrec {
            let (before, after) = (before.numrec, after.numrec);
            return Err(ReadLogError::Inconsistent { before, after });
        }
        return Ok(log);
    }
    Err(ReadLogError::Unstable)
}

fn read_header<R>(read: &mut R, event: AsyncEvent) -> Result<DiscoveryHeader, ReadLogError>
where
    R: FnMut(u64, &mut [u8], AsyncEvent) -> io::Result<u16>,
{
    let mut header = [0; HEADER_LEN];
    checked(read(0, &mut header, event))?;
    Ok(DiscoveryHeader::decode(&header)?)
}

fn read_entries<R>(read: &mut R, numrec: u64) -> Result<Log, ReadLogError>
where
    R: FnMut(u64, &mut [u8], AsyncEvent) -> io::Result<u16>,
{
    let count = usize::try_from(numrec).map_err(|_| ReadLogError::TooMany { numrec })?;
    let mut log = Log::default();
    let mut buffer = [0; CHUNK];
    let mut offset = ENTRY_LEN as u64;
    for first in (0..count).step_by(CHUNK / ENTRY_LEN) {
        let here = (count - first).min(CHUNK / ENTRY_LEN) * ENTRY_LEN;
        checked(read(offset, &mut buffer[..here], AsyncEvent::Retain))?;
        offset += here as u64;
        for (index, bytes) in buffer[..here].chunks(ENTRY_LEN).enumerate() {
            match DiscoveryEntry::decode(first + index, bytes) {
                Ok(entry) => log.entries.push(entry),
                Err(malformed) => log.malformed.push(malformed),
            }
        }
    }
    Ok(log)
}

fn checked(answer: io::Result<u16>) -> Result<(), ReadLogError> {
    match answer {
        Ok(0) => Ok(()),
        Ok(status) => Err(ReadLogError::Status { status }),
        Err(error) => Err(ReadLogError::Ioctl(error)),
    }
}
