//! Whether the log of an xfs has to be replayed.
//!
//! Format: `xlog_rec_header` and `xlog_op_header` (fs/xfs/libxfs/xfs_log_format.h), big-endian, in
//! blocks of 512 bytes. The log is a ring; each block begins with the number of its round, or, where
//! a record begins, with a magic number and then the round. A clean unmount writes one last record,
//! whose only operation says so; the kernel replays nothing if that record is the newest
//! (`xlog_check_unmount_rec`).
//!
//! Invariant: whatever does not look exactly like a clean unmount needs recovery.

use super::area::{ReadAt, field};
use super::{Journal, ProbeError, read_bytes};

const BLOCK: u64 = 512;
const RECORD_MAGIC: [u8; 4] = 0xFEED_BABE_u32.to_be_bytes();
/// `XLOG_VERSION_2`: records may have several header blocks.
const VERSION_2: u32 = 2;
/// `XLOG_HEADER_CYCLE_SIZE`: what one header block describes.
const HEADER_COVERS: u64 = 32 << 10;
/// `XLOG_MAX_RECORD_BSIZE` with its header blocks.
const LONGEST_RECORD: u64 = (256 << 10) / BLOCK + 8;
/// `XLOG_UNMOUNT_TRANS` of `oh_flags`.
const UNMOUNT: u8 = 0x20;

/// Where a log is on its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Log {
    /// First byte.
    pub(super) offset: u64,
    /// Length in blocks of 512 bytes.
    pub(super) blocks: u64,
}

impl Log {
    /// Whether all of it is in the first bytes of a device.
    pub(super) fn is_within(self, bytes: u64) -> bool {
        let length = self.blocks.saturating_mul(BLOCK);
        self.offset.saturating_add(length) <= bytes
    }
}

/// Reads what the newest record says.
pub(super) fn read_journal(device: &impl ReadAt, log: Log) -> Result<Journal, ProbeError> {
    let head = find_head(device, log)?;
    let Some(record) = find_last_record(device, log, head)? else {
        return Ok(Journal::NeedsRecovery);
    };
    let data = read_block(
        device,
        log,
        (record.start + record.header_blocks) % log.blocks,
    )?;
    let is_unmount = record.operations == 1 && data[9] & UNMOUNT != 0;
    let end = (record.start + record.header_blocks + record.data_blocks) % log.blocks;
    Ok(if is_unmount && end == head % log.blocks {
        Journal::Clean
    } else {
        Journal::NeedsRecovery
    })
}

/// The first block that the current round has not reached: up to there the blocks have the round of
/// the first one, behind it an older one. The end of the log, when the round is complete.
fn find_head(device: &impl ReadAt, log: Log) -> Result<u64, ProbeError> {
    let current = round_of(&read_block(device, log, 0)?);
    let (mut reached, mut beyond) = (0, log.blocks);
    while beyond - reached > 1 {
        let middle = reached + (beyond - reached) / 2;
        if round_of(&read_block(device, log, middle)?) == current {
            reached = middle;
        } else {
            beyond = middle;
        }
    }
    Ok(beyond)
}

fn round_of(block: &[u8; 512]) -> u32 {
    let at = if block.starts_with(&RECORD_MAGIC) {
        4
    } else {
        0
    };
    u32::from_be_bytes(field(block, at))
}

/// A record, by its header.
#[derive(Debug, Clone, Copy)]
struct Record {
    start: u64,
    header_blocks: u64,
    data_blocks: u64,
    operations: u32,
}

/// The record that begins last before `head`, looked for as far back as a record may reach.
fn find_last_record(
    device: &impl ReadAt,
    log: Log,
    head: u64,
) -> Result<Option<Record>, ProbeError> {
    for back in 1..=LONGEST_RECORD.min(log.blocks) {
        let start = (head + log.blocks - back) % log.blocks;
        let block = read_block(device, log, start)?;
        if block.starts_with(&RECORD_MAGIC) {
            return Ok(Some(read_record(&block, start)));
        }
    }
    Ok(None)
}

fn read_record(header: &[u8; 512], start: u64) -> Record {
    let number = |at| u32::from_be_bytes(field(header, at));
    let described = match number(8) & VERSION_2 {
        0 => HEADER_COVERS,
        _ => u64::from(number(320)).max(HEADER_COVERS),
    };
    Record {
        start,
        header_blocks: described.div_ceil(HEADER_COVERS),
        data_blocks: u64::from(number(12)).div_ceil(BLOCK),
        operations: number(40),
    }
}

fn read_block(device: &impl ReadAt, log: Log, block: u64) -> Result<[u8; 512], ProbeError> {
    let mut bytes = [0; 512];
    read_bytes(device, &mut bytes, log.offset + block * BLOCK)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    const LOG: Log = Log {
        offset: 4096,
        blocks: 1024,
    };

    /// A log in memory, block by block, before which there are 4 KiB of something else.
    struct Ring(Vec<[u8; 512]>);

    impl Ring {
        /// Every block of one round but the first `head`, which are of the next.
        fn written_to(head: usize) -> Ring {
            let round = |block| if block < head { 8_u32 } else { 7 };
            let block = |number| {
                let mut bytes = [0xEE; 512];
                bytes[..4].copy_from_slice(&round(number).to_be_bytes());
                bytes
            };
            Ring((0..1024).map(block).collect())
        }

        /// With a record of 512 bytes that begins at a block.
        fn with_record(mut self, start: usize, flags: u8, operations: u32) -> Ring {
            let round = self.0[start][..4].to_vec();
            let header = &mut self.0[start];
            header[..4].copy_from_slice(&RECORD_MAGIC);
            header[4..8].copy_from_slice(&round);
            header[8..12].copy_from_slice(&2_u32.to_be_bytes());
            header[12..16].copy_from_slice(&512_u32.to_be_bytes());
            header[40..44].copy_from_slice(&operations.to_be_bytes());
            header[320..324].copy_from_slice(&32768_u32.to_be_bytes());
            self.0[(start + 1) % 1024][9] = flags;
            self
        }
    }

    impl ReadAt for Ring {
        fn size(&self) -> io::Result<u64> {
            Ok(LOG.offset + LOG.blocks * BLOCK)
        }

        fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
            let block = (offset - LOG.offset) / BLOCK;
            let block = usize::try_from(block).expect("small");
            buffer.copy_from_slice(&self.0[block]);
            Ok(())
        }
    }

    fn journal(ring: &Ring) -> Journal {
        read_journal(ring, LOG).expect("readable")
    }

    #[test]
    fn a_record_of_the_unmount_at_the_head_is_clean() {
        for head in [2, 3, 500, 1023, 1024] {
            let ring = Ring::written_to(head).with_record(head - 2, UNMOUNT, 1);
            assert_eq!(journal(&ring), Journal::Clean, "{head}");
        }
    }

    #[test]
    fn a_record_that_goes_on_at_the_start_of_the_ring_is_followed() {
        let ring = Ring::written_to(1).with_record(1023, UNMOUNT, 1);
        assert_eq!(journal(&ring), Journal::Clean);
    }

    #[test]
    fn anything_newer_than_the_unmount_needs_recovery() {
        let ring = Ring::written_to(502).with_record(498, UNMOUNT, 1);
        let newer = ring.with_record(500, 0, 3);
        assert_eq!(journal(&newer), Journal::NeedsRecovery);
    }

    #[test]
    fn a_record_that_ends_before_the_head_needs_recovery() {
        let ring = Ring::written_to(503).with_record(500, UNMOUNT, 1);
        assert_eq!(journal(&ring), Journal::NeedsRecovery);
    }

    #[test]
    fn an_unmount_among_other_operations_is_none() {
        let ring = Ring::written_to(502).with_record(500, UNMOUNT, 2);
        assert_eq!(journal(&ring), Journal::NeedsRecovery);
    }

    #[test]
    fn a_log_without_a_record_needs_recovery() {
        assert_eq!(journal(&Ring::written_to(502)), Journal::NeedsRecovery);
    }
}
