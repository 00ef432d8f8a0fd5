//! `/dev/mapper/control`: the commands of device-mapper (include/uapi/linux/dm-ioctl.h).
//!
//! Each command takes a `struct dm_ioctl`, behind which lies what the command needs, and answers in
//! the same memory. This file is the only unsafe code for it.

use std::fs::File;
use std::path::{Path, PathBuf};

use nvme_sysfs::DevT;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};

use super::error::{DmCall, MapError};
use super::id::MapId;

/// The one interface that every kernel since 2.6 has.
const VERSION: [u32; 3] = [4, 0, 0];
/// Size of `struct dm_ioctl` without its last member, `data[7]`, and the padding behind it.
const DATA_START: u32 = 312;
/// Room for what a command needs or answers: a table with many paths has some kilobytes.
const ROOM: usize = 16 * 1024;

/// Flags of a command or an answer, `DM_*_FLAG`.
pub(super) mod flag {
    /// The table, or the disk, refuses writes.
    pub(in crate::host::dm) const READONLY: u32 = 1 << 0;
    /// The map is, or shall be, suspended.
    pub(in crate::host::dm) const SUSPEND: u32 = 1 << 1;
    /// Asks for the table and not for the status.
    pub(in crate::host::dm) const STATUS_TABLE: u32 = 1 << 4;
    /// There is a live table.
    pub(in crate::host::dm) const ACTIVE_PRESENT: u32 = 1 << 5;
    /// There is an inactive table.
    pub(in crate::host::dm) const INACTIVE_PRESENT: u32 = 1 << 6;
    /// The answer did not fit.
    pub(in crate::host::dm) const BUFFER_FULL: u32 = 1 << 8;
    /// Does not freeze the filesystem first.
    pub(in crate::host::dm) const SKIP_LOCKFS: u32 = 1 << 10;
    /// Does not wait for I/O under way; it is sent again afterwards.
    pub(in crate::host::dm) const NOFLUSH: u32 = 1 << 11;
}

/// What udev's rules shall leave alone (`DM_UDEV_DISABLE_*` of libdevmapper): no rules of
/// subsystems, disks or others look into a map, for a look at a held one never ends.
const UDEV_FLAGS: u32 = (0x0002 | 0x0004 | 0x0008) << 16;

/// The commands, `_IOWR(0xfd, N, struct dm_ioctl)`.
pub(super) const DEV_CREATE: Opcode = opcode::read_write::<Header>(0xfd, 3);
pub(super) const DEV_REMOVE: Opcode = opcode::read_write::<Header>(0xfd, 4);
pub(super) const DEV_RENAME: Opcode = opcode::read_write::<Header>(0xfd, 5);
pub(super) const DEV_SUSPEND: Opcode = opcode::read_write::<Header>(0xfd, 6);
pub(super) const TABLE_LOAD: Opcode = opcode::read_write::<Header>(0xfd, 9);
pub(super) const TABLE_CLEAR: Opcode = opcode::read_write::<Header>(0xfd, 10);
pub(super) const TABLE_STATUS: Opcode = opcode::read_write::<Header>(0xfd, 12);
pub(super) const TARGET_MSG: Opcode = opcode::read_write::<Header>(0xfd, 14);

/// `struct dm_ioctl`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    pub(super) target_count: u32,
    open_count: i32,
    pub(super) flags: u32,
    event_nr: u32,
    padding: u32,
    dev: u64,
    name: [u8; 128],
    uuid: [u8; 129],
    data: [u8; 7],
}

/// A command and what lies behind it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Buffer {
    header: Header,
    payload: [u8; ROOM],
}

/// What device-mapper answered.
#[derive(Debug)]
pub(super) struct Answer(Box<Buffer>);

impl Answer {
    /// Whether this flag is set.
    pub(super) fn has(&self, flag: u32) -> bool {
        self.0.header.flags & flag != 0
    }

    /// Number of targets that it tells of.
    pub(super) fn target_count(&self) -> u32 {
        self.0.header.target_count
    }

    /// What lies behind the header.
    pub(super) fn payload(&self) -> &[u8] {
        &self.0.payload
    }

    /// Name of the map.
    pub(super) fn name(&self) -> String {
        let name = self.0.header.name.split(|byte| *byte == 0).next();
        String::from_utf8_lossy(name.unwrap_or_default()).into_owned()
    }

    /// Number of the map's disk (`huge_encode_dev` in include/linux/kdev_t.h).
    pub(super) fn dev(&self) -> DevT {
        let low = u32::try_from(self.0.header.dev & 0xffff_ffff).unwrap_or_default();
        DevT {
            major: (low & 0x000f_ff00) >> 8,
            minor: (low & 0xff) | ((low >> 12) & 0x000f_ff00),
        }
    }
}

/// The open control device.
#[derive(Debug)]
pub(super) struct Control(File);

/// Whether there is a device-mapper to ask.
#[must_use]
pub fn is_available(root: &Path) -> bool {
    let node = rustix::fs::stat(path(root));
    node.is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_char_device())
}

fn path(root: &Path) -> PathBuf {
    root.join("dev/mapper/control")
}

impl Control {
    pub(super) fn open(root: &Path) -> Result<Control, MapError> {
        let path = path(root);
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::openat(CWD, &path, flags, Mode::empty()) {
            Ok(control) => Ok(Control(File::from(control))),
            Err(source) => Err(MapError::NoControl { path, source }),
        }
    }

    /// Gives a command for the map with this UUID. `name` is that of a new one, or of one that gets another: the kernel
    /// finds that by its name alone.
    pub(super) fn call<const COMMAND: Opcode>(
        &self,
        map: MapId,
        name: Option<String>,
        flags: u32,
        payload: &[u8],
    ) -> Result<Answer, Errno> {
        let mut buffer = Box::new(Buffer {
            header: Header {
                version: VERSION,
                data_size: u32::try_from(size_of::<Buffer>()).expect("a few kilobytes"),
                data_start: DATA_START,
                target_count: match COMMAND {
                    TABLE_LOAD => count_targets(payload),
                    _ => 0,
                },
                open_count: 0,
                flags,
                event_nr: UDEV_FLAGS,
                padding: 0,
                dev: 0,
                name: [0; 128],
                uuid: [0; 129],
                data: [0; 7],
            },
            payload: [0; ROOM],
        });
        if COMMAND != DEV_RENAME {
            put(&mut buffer.header.uuid, map.uuid().as_bytes());
        }
        put(&mut buffer.header.name, name.unwrap_or_default().as_bytes());
        let place = buffer.payload.get_mut(..payload.len());
        place.ok_or(Errno::TOOBIG)?.copy_from_slice(payload);
        #[expect(unsafe_code, reason = "ioctls that neither rustix nor nix knows")]
        // SAFETY: each opcode is device-mapper's for a pointer to a struct dm_ioctl, which begins
        // the buffer. The kernel reads and writes no more than `data_size` bytes from there, which
        // is the size of the buffer, and any bytes are a valid value of it.
        unsafe {
            ioctl(&self.0, Updater::<COMMAND, Buffer>::new(&mut buffer))?;
        }
        Ok(Answer(buffer))
    }
}

/// Number of targets of a table that is to be loaded: each but the last says where the next one begins (`next` of
/// `struct dm_target_spec`).
fn count_targets(mut table: &[u8]) -> u32 {
    let mut count = 1;
    while let Some(next) = table.get(20..24).and_then(|next| next.try_into().ok()) {
        let next = usize::try_from(u32::from_ne_bytes(next)).unwrap_or_default();
        if next == 0 {
            break;
        }
        count += 1;
        table = table.get(next..).unwrap_or_default();
    }
    count
}

/// The text, and a zero behind it.
fn put(field: &mut [u8], text: &[u8]) {
    let most = text.len().min(field.len() - 1);
    field[..most].copy_from_slice(&text[..most]);
}

/// What was called, for errors and logs.
pub(super) fn describe(command: &'static str, map: MapId, text: &str) -> DmCall {
    DmCall {
        command,
        uuid: map.uuid(),
        text: text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    #[test]
    fn the_struct_and_the_commands_are_the_kernels() {
        assert_eq!(size_of::<Header>(), 312);
        assert_eq!(offset_of!(Header, dev), 40);
        assert_eq!(offset_of!(Header, name), 48);
        assert_eq!(offset_of!(Header, uuid), 176);
        assert_eq!(offset_of!(Buffer, payload), 312);
        assert_eq!(DEV_CREATE, 0xc138_fd03);
        assert_eq!(DEV_RENAME, 0xc138_fd05);
        assert_eq!(TARGET_MSG, 0xc138_fd0e);
    }

    #[test]
    fn targets_are_counted_by_where_the_next_one_begins() {
        let mut table = [0; 96];
        assert_eq!(count_targets(&table), 1);
        table[20..24].copy_from_slice(&48_u32.to_ne_bytes());
        assert_eq!(count_targets(&table), 2);
        table[20..24].copy_from_slice(&4000_u32.to_ne_bytes());
        assert_eq!(count_targets(&table), 2, "it ends there");
        assert_eq!(count_targets(&[]), 1);
    }

    #[test]
    fn without_a_control_device_there_is_no_device_mapper() {
        let root = tempfile::tempdir().expect("a directory");
        assert!(!is_available(root.path()));
        let error = Control::open(root.path()).expect_err("no device");
        assert!(matches!(error, MapError::NoControl { .. }), "{error}");
    }
}
