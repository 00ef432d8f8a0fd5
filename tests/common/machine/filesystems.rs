//! Superblocks as far as the probe reads them (struct ext4_super_block, struct xfs_dsb).

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nvmeof_csi::host::FilesystemType;

/// Makes a filesystem, as far as a probe can tell.
pub(crate) fn make(device: &Path, fs: FilesystemType) {
    match fs {
        FilesystemType::Ext4 => ext4(device, State::Clean),
        FilesystemType::Xfs => xfs(device, 0),
    }
}

/// The state that an ext4 superblock tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Clean,
    NeedsRecovery,
}

/// Writes the superblock of ext4.
pub(crate) fn ext4(device: &Path, state: State) {
    let file = open(device);
    let size = file.metadata().expect("a size").len();
    let blocks = u32::try_from(size / 4096).expect("small");
    let recover = match state {
        State::Clean => 0,
        State::NeedsRecovery => 4,
    };
    let mut superblock = [0_u8; 1024];
    let mut put = |offset: usize, value: &[u8]| {
        superblock[offset..offset + value.len()].copy_from_slice(value);
    };
    put(0x4, &blocks.to_le_bytes());
    put(0x18, &2_u32.to_le_bytes());
    put(0x20, &32768_u32.to_le_bytes());
    put(0x38, &0xEF53_u16.to_le_bytes());
    put(0x3A, &1_u16.to_le_bytes());
    put(0x5C, &4_u32.to_le_bytes());
    put(0x60, &(0x40_u32 | recover).to_le_bytes());
    put(0x68, &[7; 16]);
    file.write_all_at(&superblock, 1024).expect("a write");
}

/// Leaves the second half of the device to nobody.
pub(crate) fn halve(device: &Path) {
    let file = open(device);
    let size = file.metadata().expect("a size").len();
    let blocks = u32::try_from(size / 4096 / 2).expect("small");
    let written = file.write_all_at(&blocks.to_le_bytes(), 1024 + 0x4);
    written.expect("a write");
}

/// Adds multi-mount protection to an ext4 that is there.
pub(crate) fn protect(device: &Path) {
    const INCOMPATIBLE: u64 = 1024 + 0x60;
    let file = open(device);
    let mut features = [0; 4];
    let read = file.read_exact_at(&mut features, INCOMPATIBLE);
    read.expect("a superblock");
    let features = u32::from_le_bytes(features) | 0x100;
    let written = file.write_all_at(&features.to_le_bytes(), INCOMPATIBLE);
    written.expect("a write");
}

/// Writes the superblock of xfs; `in_progress` is set until mkfs.xfs has finished.
pub(crate) fn xfs(device: &Path, in_progress: u8) {
    let file = open(device);
    let blocks = file.metadata().expect("a size").len() / 4096;
    let mut superblock = [0_u8; 512];
    superblock[..4].copy_from_slice(b"XFSB");
    superblock[4..8].copy_from_slice(&4096_u32.to_be_bytes());
    superblock[8..16].copy_from_slice(&blocks.to_be_bytes());
    superblock[32..48].copy_from_slice(&[7; 16]);
    superblock[126] = in_progress;
    file.write_all_at(&superblock, 0).expect("a write");
}

/// Writes bytes of some other kind.
pub(crate) fn scribble(device: &Path, offset: u64, bytes: &[u8]) {
    open(device).write_all_at(bytes, offset).expect("a write");
}

/// Empties a device.
pub(crate) fn wipe(device: &Path) {
    let file = open(device);
    let size = file.metadata().expect("a size").len();
    file.set_len(0).expect("a size");
    file.set_len(size).expect("a size");
    (&file).flush().expect("a flush");
}

fn open(device: &Path) -> File {
    let file = File::options().read(true).write(true).open(device);
    file.expect("an image")
}
