//! Reads the whole discovery log in pieces, while the target may be changing it.
//!
//! The header's generation counter is read before and after the entries; when it has changed the
//! entries may belong to two generations and everything is read again. Pieces are at most 4 KiB,
//! which every target takes. Only the last header is read with the event re-armed, so that a
//! change in between is not lost.

use std::io;

use super::entry::DiscoveryEntry;
use super::ioctl::AsyncEvent;
use super::log::{DiscoveryHeader, ENTRY_LEN, HEADER_LEN, HeaderError, MalformedEntry};

/// Most bytes of one command.
const CHUNK: usize = 4096;

/// Most entries that are believed: 8 MiB of log.
pub(crate) const MAX_ENTRIES: u64 = 8192;

/// How often a log that keeps changing is read again, as often as nvme-cli does.
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

#[cfg(test)]
mod tests {
    use super::super::log::tests::entry;
    use super::*;
    use crate::fixture::VOLUME;

    /// A target with `count` entries; `generations` are its answers for genctr, the last for ever.
    struct Target {
        generations: Vec<u64>,
        count: u64,
        log: Vec<u8>,
        commands: Vec<(u64, usize, AsyncEvent)>,
    }

    impl Target {
        fn new(count: usize, generations: &[u64]) -> Target {
            let mut log = vec![0; ENTRY_LEN];
            for index in 0..count {
                log.extend(entry(2, VOLUME, &format!("192.0.2.{index}")));
            }
            Target {
                generations: generations.to_vec(),
                count: count as u64,
                log,
                commands: Vec::new(),
            }
        }

        fn read(&mut self, offset: u64, buffer: &mut [u8], event: AsyncEvent) -> io::Result<u16> {
            self.commands.push((offset, buffer.len(), event));
            if offset == 0 {
                let genctr = match self.generations.len() {
                    1 => self.generations[0],
                    _ => self.generations.remove(0),
                };
                self.log[0..8].copy_from_slice(&genctr.to_le_bytes());
                self.log[8..16].copy_from_slice(&self.count.to_le_bytes());
            }
            let start = usize::try_from(offset).expect("a small offset");
            buffer.copy_from_slice(&self.log[start..start + buffer.len()]);
            Ok(0)
        }

        fn log(&mut self) -> Result<Log, ReadLogError> {
            read_log(|offset, buffer, event| self.read(offset, buffer, event))
        }
    }

    #[test]
    fn entries_come_in_pieces_of_4_kib_and_the_last_header_rearms_the_event() {
        use AsyncEvent::{Rearm, Retain};
        let mut target = Target::new(6, &[1]);
        let log = target.log().expect("a log");
        let addresses: Vec<&str> = log.entries.iter().map(|entry| &entry.traddr[..]).collect();
        let expected: Vec<String> = (0..6).map(|index| format!("192.0.2.{index}")).collect();
        assert_eq!(addresses, expected);
        assert_eq!(
            target.commands,
            [
                (0, 20, Retain),
                (1024, 4096, Retain),
                (5120, 2048, Retain),
                (0, 20, Rearm)
            ]
        );
    }

    #[test]
    fn an_empty_log_is_read_with_headers_alone() {
        let mut target = Target::new(0, &[1]);
        assert_eq!(target.log().expect("a log"), Log::default());
        assert_eq!(target.commands.len(), 2);
    }

    #[test]
    fn a_log_that_changes_meanwhile_is_read_again() {
        let mut target = Target::new(1, &[1, 2, 2, 2]);
        assert_eq!(target.log().expect("a log").entries.len(), 1);
        assert_eq!(target.commands.len(), 6);
    }

    #[test]
    fn a_log_that_never_holds_still_is_given_up() {
        let generations: Vec<u64> = (0..100).collect();
        let error = Target::new(1, &generations).log().expect_err("unstable");
        assert!(matches!(error, ReadLogError::Unstable), "{error:?}");
    }

    #[test]
    fn more_entries_than_believable_are_not_read() {
        let mut target = Target::new(0, &[1]);
        target.count = u64::MAX;
        let error = target.log().expect_err("too many");
        assert!(
            matches!(error, ReadLogError::TooMany { numrec: u64::MAX }),
            "{error:?}"
        );
        assert_eq!(target.commands.len(), 1);
    }

    #[test]
    fn a_malformed_entry_hides_no_other() {
        let mut target = Target::new(3, &[1]);
        target.log[2 * ENTRY_LEN + 256] = b',';
        let log = target.log().expect("a log");
        assert_eq!(log.entries.len(), 2);
        assert_eq!(log.malformed[0].index, 1);
    }

    #[test]
    fn a_status_of_the_controller_is_an_error() {
        let error = read_log(|_, _, _| Ok(0x109)).expect_err("invalid log page");
        assert_eq!(
            error.to_string(),
            "the discovery controller answered status 0x109"
        );
        let error = read_log(|_, _, _| Err(io::Error::from_raw_os_error(1)));
        assert!(matches!(error, Err(ReadLogError::Ioctl(_))), "{error:?}");
    }

    #[test]
    fn a_count_that_changes_within_a_generation_is_an_error() {
        let mut target = Target::new(2, &[1]);
        let error = read_log(|offset, buffer, event| {
            target.count -= u64::from(event == AsyncEvent::Rearm);
            target.read(offset, buffer, event)
        });
        let error = error.expect_err("inconsistent");
        assert!(error.to_string().contains("from 2 to 1 entries"), "{error}");
    }
}
