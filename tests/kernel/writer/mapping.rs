//! A part of a file or device that is written by storing to memory.

#![expect(
    unsafe_code,
    reason = "memory that a mapping shares has no safe interface"
)]

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::ptr::{self, NonNull};

use rustix::mm::{MapFlags, MsyncFlags, ProtFlags, mmap, msync, munmap};

use super::{BLOCK, Block};

/// Shared with the page cache of the file.
pub(super) struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the mapping belongs to this value alone and stays where it is, whichever thread has the value.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Of so many blocks of a file that has them, from this byte on.
    pub(super) fn of(file: &File, first: u64, blocks: usize) -> io::Result<Mapping> {
        let bytes = blocks * BLOCK;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the place, so no memory that anybody uses is mapped over.
        let start = unsafe {
            mmap(
                ptr::null_mut(),
                bytes,
                access,
                MapFlags::SHARED,
                file.as_fd(),
                first,
            )
        }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { start, bytes })
    }

    /// Stores a block, and waits until it is on the disk.
    pub(super) fn put(&mut self, index: usize, block: &Block) -> io::Result<()> {
        let offset = index * BLOCK;
        assert!(
            offset + BLOCK <= self.bytes,
            "block {index} is behind the end"
        );
        // SAFETY: the range lies in the mapping (asserted), nothing else in this process refers to it, and the
        // block lies elsewhere. msync gets a range of whole pages of this mapping.
        unsafe {
            let place = self.start.as_ptr().add(offset);
            ptr::copy_nonoverlapping(block.0.as_ptr(), place, BLOCK);
            msync(place.cast(), BLOCK, MsyncFlags::SYNC)?;
        }
        Ok(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: nothing refers to the memory any more. A mapping that stays harms nobody.
        let _unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}
