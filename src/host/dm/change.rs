//! What is done to a map. Where its disks are gone none of it waits for I/O; a table that takes the place of one with
//! I/O below it waits for that.

use std::path::Path;

use nvme_sysfs::DevT;
use rustix::io::Errno;
use rustix::ioctl::Opcode;

use super::control::{
    Answer, Control, DEV_CREATE, DEV_REMOVE, DEV_RENAME, DEV_SUSPEND, TABLE_CLEAR, TABLE_LOAD,
    TABLE_STATUS, TARGET_MSG, describe, flag,
};
use super::error::{DmCall, MapError};
use super::id::MapId;
use super::status::OnPathLoss;
use super::table::{ERROR_TARGET, MapTable};

/// Makes a map without a table. One that exists is a success.
pub(crate) fn create(root: &Path, map: MapId) -> Result<(), MapError> {
    let call = describe("DM_DEV_CREATE", map, &map.name());
    let control = Control::open(root)?;
    match control.call::<DEV_CREATE>(map, Some(map.name()), 0, &[]) {
        Ok(_) => Ok(()),
        // The name or the UUID is taken: ours if it can be asked for by UUID.
        Err(Errno::BUSY) => match super::read::is_there(&control, map) {
            Ok(true) => Ok(()),
            Ok(false) => Err(MapError::Exists {
                map,
                name: map.name(),
            }),
            Err(source) => Err(MapError::Call { call, source }),
        },
        Err(source) => Err(MapError::Call { call, source }),
    }
}

/// Loads a table that becomes the live one at the next [`resume`]. Until then the map holds its
/// disks open, so that none of them can become another.
pub(crate) fn load(root: &Path, map: MapId, table: &MapTable) -> Result<(), MapError> {
    let flags = match table.read_only {
        true => flag::READONLY,
        false => 0,
    };
    let text = table.encode();
    let call = describe("DM_TABLE_LOAD", map, &text);
    let payload = payload_of(table, &text);
    match run::<TABLE_LOAD>(root, map, flags, &payload, call) {
        Err(MapError::Call {
            call,
            source: Errno::BUSY,
        }) => Err(MapError::Busy {
            call,
            users: table
                .devices
                .iter()
                .map(|dev| name_users(root, *dev, map))
                .collect(),
        }),
        // "unknown target type" and a selector that is missing (dm-table.c, dm-mpath.c).
        Err(MapError::Call {
            call,
            source: Errno::INVAL,
        }) if !has_target(root) => Err(MapError::NoTarget { call }),
        done => done,
    }
}

/// A disk that somebody else has claimed, and by what: `259:1 (below dm-3)`. Who has it open otherwise shows nowhere.
fn name_users(root: &Path, dev: DevT, map: MapId) -> String {
    let holders = root.join(format!("sys/dev/block/{dev}/holders"));
    let entries = std::fs::read_dir(holders).into_iter().flatten().flatten();
    let names: Vec<_> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| {
            let uuid = root.join(format!("sys/block/{name}/dm/uuid"));
            let uuid = std::fs::read_to_string(uuid).unwrap_or_default();
            uuid.trim() != map.uuid()
        })
        .collect();
    match names.is_empty() {
        true => dev.to_string(),
        false => format!("{dev} (below {})", names.join(", ")),
    }
}

/// Makes the loaded table the live one and lets I/O flow. The kernel suspends, swaps and resumes
/// within this call, without waiting for I/O and without freezing the filesystem above.
pub(crate) fn resume(root: &Path, map: MapId) -> Result<(), MapError> {
    let call = describe("DM_DEV_SUSPEND", map, "resume");
    let flags = flag::NOFLUSH | flag::SKIP_LOCKFS;
    run::<DEV_SUSPEND>(root, map, flags, &[], call)
}

/// Drops a table that was loaded and is not the live one.
pub(crate) fn clear_table(root: &Path, map: MapId) -> Result<(), MapError> {
    let call = describe("DM_TABLE_CLEAR", map, "");
    run::<TABLE_CLEAR>(root, map, 0, &[], call)
}

/// Lets a map send I/O again to a path that failed.
pub(crate) fn reinstate(root: &Path, map: MapId, path: DevT) -> Result<(), MapError> {
    send(root, map, &format!("reinstate_path {path}"))
}

/// Lets a map send no more I/O to a path. What was sent stays where it is.
pub(crate) fn fail_path(root: &Path, map: MapId, path: DevT) -> Result<(), MapError> {
    send(root, map, &format!("fail_path {path}"))
}

/// From now on I/O that finds no path waits.
pub(crate) fn queue_if_no_path(root: &Path, map: MapId) -> Result<(), MapError> {
    send(root, map, "queue_if_no_path")
}

/// From now on I/O that finds no path fails, and so does what waits. A flush as well: that is why it is no table of
/// the target `error`, which answers an empty flush with success (`__send_empty_flush` in drivers/md/dm.c asks only
/// targets with `num_flush_bios`).
///
/// Before anything else the map gets the name that says so. One that does not queue and has another name was left so
/// by a suspend that was given up (see `suspend.rs`), and queues again.
///
/// A suspended map takes no message (EBUSY), so its I/O flows again first; the lock of the map keeps others of ours from
/// suspending it in that moment. A map that passes errors takes no message either, and needs none: its I/O fails by itself.
pub(crate) fn let_go(root: &Path, map: MapId) -> Result<(), MapError> {
    let call = describe("DM_TABLE_STATUS", map, "");
    let control = Control::open(root)?;
    let status = match control.call::<TABLE_STATUS>(map, None, flag::NOFLUSH, &[]) {
        Ok(status) => status,
        Err(Errno::NXIO) => return Err(MapError::Missing { map }),
        Err(source) => return Err(MapError::Call { call, source }),
    };
    if !status.has(flag::ACTIVE_PRESENT) {
        // A call that makes it has not come to a table yet: it holds nothing.
        return Ok(());
    }
    mark(&control, map, &status)?;
    if status.has(flag::SUSPEND) {
        if status.has(flag::INACTIVE_PRESENT) {
            clear_table(root, map)?;
        }
        resume(root, map)?;
    }
    match super::read::kind_of(&status) == MapTable::PASSING.as_bytes() {
        true => Ok(()),
        false => send(root, map, "fail_if_no_path"),
    }
}

/// Gives a map the name that says that it is let go.
fn mark(control: &Control, map: MapId, status: &Answer) -> Result<(), MapError> {
    let (old, new) = (status.name(), map.let_go_name());
    if old == new {
        return Ok(());
    }
    let call = describe("DM_DEV_RENAME", map, &new);
    let payload = [new.as_bytes(), &[0]].concat();
    let renamed = control.call::<DEV_RENAME>(map, Some(old), 0, &payload);
    renamed
        .map(drop)
        .map_err(|source| MapError::Call { call, source })
}

/// Removes a map that nobody has open. One that is not there is a success.
pub(crate) fn remove(root: &Path, map: MapId) -> Result<(), MapError> {
    let call = describe("DM_DEV_REMOVE", map, "");
    match run::<DEV_REMOVE>(root, map, 0, &[], call) {
        Err(MapError::Missing { .. }) => Ok(()),
        Err(MapError::Call {
            call,
            source: Errno::BUSY,
        }) => Err(MapError::Busy {
            call,
            users: vec!["it".to_owned()],
        }),
        done => done,
    }
}

fn send(root: &Path, map: MapId, message: &str) -> Result<(), MapError> {
    let call = describe("DM_TARGET_MSG", map, message);
    // struct dm_target_msg: the sector that the target covers, and the text.
    let mut payload = 0_u64.to_ne_bytes().to_vec();
    payload.extend_from_slice(message.as_bytes());
    payload.push(0);
    run::<TARGET_MSG>(root, map, 0, &payload, call)
}

fn run<const COMMAND: Opcode>(
    root: &Path,
    map: MapId,
    flags: u32,
    payload: &[u8],
    call: DmCall,
) -> Result<(), MapError> {
    match Control::open(root)?.call::<COMMAND>(map, None, flags, payload) {
        Ok(_) => Ok(()),
        Err(Errno::NXIO) => Err(MapError::Missing { map }),
        Err(source) => Err(MapError::Call { call, source }),
    }
}

/// The targets of a table. A map that was `multipath` takes only that again, or a table in which there is the target
/// `error` (`table_load` in drivers/md/dm-ioctl.c): so `linear` gets one behind the end of the volume.
fn payload_of(table: &MapTable, text: &str) -> Vec<u8> {
    let sectors = table.sectors();
    let mut payload = target(table.target(), sectors, text);
    if table.on_path_loss != OnPathLoss::Pass {
        return payload;
    }
    payload.resize(payload.len().next_multiple_of(8), 0);
    let next = u32::try_from(payload.len()).unwrap_or_default();
    payload[20..24].copy_from_slice(&next.to_ne_bytes());
    let mut end = target(ERROR_TARGET, MapTable::BEHIND_THE_END, "");
    end[..8].copy_from_slice(&sectors.to_ne_bytes());
    payload.extend_from_slice(&end);
    payload
}

/// `struct dm_target_spec` with its parameters behind it.
fn target(name: &str, sectors: u64, parameters: &str) -> Vec<u8> {
    let mut kind = [0; 16];
    kind[..name.len()].copy_from_slice(name.as_bytes());
    let start = 0_u64.to_ne_bytes();
    let length = sectors.to_ne_bytes();
    let (status, next) = (0_i32.to_ne_bytes(), 0_u32.to_ne_bytes());
    let parts: [&[u8]; 7] = [
        &start,
        &length,
        &status,
        &next,
        &kind,
        parameters.as_bytes(),
        &[0],
    ];
    parts.concat()
}

/// Whether the modules of the target are loaded or built in, as far as sysfs tells.
fn has_target(root: &Path) -> bool {
    let is_there = |module| root.join("sys/module").join(module).is_dir();
    is_there("dm_multipath") && is_there("dm_round_robin")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_laid_out_as_the_kernel_reads_it() {
        let bytes = target(MapTable::TARGET, 2, "0 0 0 0");
        assert_eq!(bytes.len(), 40 + 8);
        assert_eq!(bytes[8..16], 2_u64.to_ne_bytes());
        assert_eq!(&bytes[24..40], b"multipath\0\0\0\0\0\0\0");
        assert_eq!(&bytes[40..], b"0 0 0 0\0");
    }

    #[test]
    fn a_table_that_passes_errors_has_the_error_target_behind_its_end() {
        let table = MapTable {
            devices: vec!["259:1".parse().expect("a number")],
            size_bytes: 1 << 20,
            read_only: false,
            on_path_loss: OnPathLoss::Pass,
        };
        let payload = payload_of(&table, &table.encode());
        // Forty bytes, "259:1 0" and a zero.
        assert_eq!(payload[20..24], 48_u32.to_ne_bytes());
        assert_eq!(&payload[24..31], b"linear\0");
        let end = &payload[48..];
        assert_eq!(end[..8], 2048_u64.to_ne_bytes());
        assert_eq!(end[8..16], MapTable::BEHIND_THE_END.to_ne_bytes());
        assert_eq!(&end[24..30], b"error\0");
    }

    #[test]
    fn without_device_mapper_every_change_is_an_error() {
        let root = tempfile::tempdir().expect("a directory");
        let map = MapId::of_volume("csi.example", "a");
        for result in [
            create(root.path(), map),
            resume(root.path(), map),
            remove(root.path(), map),
            let_go(root.path(), map),
        ] {
            let error = result.expect_err("no device");
            assert!(matches!(error, MapError::NoControl { .. }), "{error}");
        }
    }
}
