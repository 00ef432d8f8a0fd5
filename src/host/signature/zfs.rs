//! Members of a ZFS pool.
//!
//! Format: four labels of 256 KiB, two at the start and two at the end of the device rounded down
//! to 256 KiB; the second half of each is a ring of uberblocks, every 1 KiB or more, which begin
//! with the magic number in the byte order of the machine (ZFS on-disk format, chapter 1).

use super::Found;
use super::area::{Areas, Outside};

const LABEL: u64 = 256 << 10;
const RING: u64 = 128 << 10;
const SLOT: u64 = 1 << 10;
const MAGIC: u64 = 0x00BA_B10C;
/// A pool has written at least this many before it is ready; fewer are left-overs.
const ENOUGH: usize = 4;

/// A pool member.
pub(super) fn find(areas: &Areas, outside: Outside) -> Option<Found> {
    let end = areas.size() / LABEL * LABEL;
    let trailing = [end.checked_sub(2 * LABEL), end.checked_sub(LABEL)];
    let mut labels = [0, LABEL].into_iter().chain(trailing.into_iter().flatten());
    labels
        .find(|label| outside.contains(*label) && count_uberblocks(areas, *label) >= ENOUGH)
        .map(|offset| Found::Other {
            name: "a ZFS pool member",
            offset,
        })
}

fn count_uberblocks(areas: &Areas, label: u64) -> usize {
    let is_uberblock = |slot: &u64| {
        let offset = label + RING + slot * SLOT;
        areas.has(offset, &MAGIC.to_le_bytes()) || areas.has(offset, &MAGIC.to_be_bytes())
    };
    (0..RING / SLOT).filter(is_uberblock).count()
}
