//! Whether a disk serves anything, asked by one small read past all caches.
//!
//! A disk with a bad block serves the others. One whose namespace the target has just hidden, and whose head the
//! kernel has not removed yet, fails every read, though its controller is live; one that has just lost its paths
//! keeps the read until they are back or the head goes.
//!
//! Invariant: nothing is written, and nobody waits longer than [`PATIENCE`].

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rustix::fs::{OFlags, SeekFrom, fcntl_getfl, fcntl_setfl, ioctl_blksszget, seek};

use super::device_node::{DeviceNode, Opening};

/// How long a read may take: a target that is well answers within milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// What the thread needs.
const STACK: usize = 128 * 1024;
/// The largest logical block that a disk has.
const LARGEST_BLOCK: usize = 64 * 1024;
/// The grain of direct I/O: no disk asks for a coarser one of the memory.
const ALIGNMENT: usize = 4096;

/// See [`crate::host::Host::serves`].
pub(crate) fn serves(root: &Path, disk: &DeviceNode) -> bool {
    let (root, disk) = (root.to_owned(), disk.clone());
    let (tell, told) = channel();
    let probe = move || {
        let serves = disk
            .open(&root, Opening::Shared)
            .is_ok_and(|node| is_read(&node));
        // Nobody may wait any more.
        let _heard = tell.send(serves);
    };
    let builder = thread::Builder::new().name("probe".to_owned());
    let started = builder.stack_size(STACK).spawn(probe);
    started.is_ok() && told.recv_timeout(PATIENCE) == Ok(true)
}

/// Whether the first or the last block can be read.
fn is_read(node: &File) -> bool {
    let read = |offset: u64, block: usize| -> io::Result<()> {
        let mut memory = vec![0; block + ALIGNMENT];
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        let aligned = memory.get_mut(start..start + block);
        node.read_exact_at(aligned.ok_or(io::ErrorKind::OutOfMemory)?, offset)
    };
    let direct = || -> io::Result<(u64, usize)> {
        fcntl_setfl(node, fcntl_getfl(node)? | OFlags::DIRECT)?;
        let block = ioctl_blksszget(node)? as usize;
        Ok((seek(node, SeekFrom::End(0))?, block))
    };
    let Ok((size, block)) = direct() else {
        return false;
    };
    if !(1..=LARGEST_BLOCK).contains(&block) || size < block as u64 {
        return false;
    }
    let last = size - block as u64;
    read(0, block).or_else(|_| read(last, block)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_disk_serves_nothing() {
        let root = tempfile::tempdir().expect("a directory");
        let node = DeviceNode {
            path: root.path().join("nvme0n1"),
            dev: "259:1".parse().expect("a number"),
            diskseq: None,
        };
        assert!(!serves(root.path(), &node), "it is not there");
        std::fs::write(&node.path, [0; 4096]).expect("a file");
        assert!(!serves(root.path(), &node), "it is a file");
    }
}
