//! The maps of ours that exist: `/sys/block/dm-N`, and what device-mapper says of each.
//!
//! Files: `dm/uuid`, `dm/name`, `dm/suspended` (0 or 1), `dev`, `diskseq`, `size` (sectors of 512 bytes), `stat` and
//! `slaves/` with the names of the disks below, those of an inactive table included
//! (Documentation/ABI/testing/sysfs-block-dm).
//!
//! Invariant: a map that vanishes while it is read is skipped; anything else that cannot be read is
//! an error. Nothing here opens a map or waits for its I/O.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use nvme_sysfs::{DevT, Diskseq};
use rustix::io::Errno;

use super::control::{Answer, Control, TABLE_STATUS, describe, flag, is_available};
use super::error::{MapError, ReadMapsError};
use super::id::MapId;
use super::status::{MapPath, OnPathLoss, parse_linear, parse_status, parse_table};
use super::table::ERROR_TARGET;
use super::{Map, MapTable};
use crate::host::attribute::{self, AttributeError, malformed, there};
use crate::host::io_counts::IoCounts;

/// Size of `struct dm_target_spec`.
const SPEC: usize = 40;

/// Every map of ours, in the order of their disks' names. On a captured tree, which has no control
/// device, paths are known by `slaves/` and their states are not.
///
/// # Errors
/// [`ReadMapsError`].
pub fn read_maps(root: &Path) -> Result<Vec<Map>, ReadMapsError> {
    let block = root.join("sys/block");
    let mut maps = Vec::new();
    let mut control = None;
    for name in attribute::names(&block)? {
        if !name.starts_with("dm-") {
            continue;
        }
        let Some(mut map) = read_disk(&block.join(&name), &name)? else {
            continue;
        };
        if is_available(root) {
            let control = match &control {
                Some(control) => control,
                None => control.insert(Control::open(root)?),
            };
            if !ask(control, &mut map)? {
                continue;
            }
        }
        maps.push(map);
    }
    Ok(maps)
}

/// One map, without a look at the others; `None` if there is no such map, or none with a table yet.
///
/// # Errors
/// [`ReadMapsError`].
pub fn read_map(root: &Path, id: MapId) -> Result<Option<Map>, ReadMapsError> {
    if !is_available(root) {
        return Ok(read_maps(root)?.into_iter().find(|map| map.id == id));
    }
    let control = Control::open(root)?;
    let dev = match control.call::<TABLE_STATUS>(id, None, flag::NOFLUSH, &[]) {
        Ok(answer) => answer.dev(),
        Err(Errno::NXIO) => return Ok(None),
        Err(errno) => return Err(failed(id, errno)),
    };
    // A link to the directory of the disk, which is called as the disk is.
    let path = root.join("sys/dev/block").join(dev.to_string());
    let link = there(fs::read_link(&path));
    let link = link.map_err(|source| AttributeError::new("read", &path, source))?;
    let Some(directory) = link else {
        return Ok(None);
    };
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    let Some(mut map) = read_disk(&path, &name)? else {
        return Ok(None);
    };
    Ok((map.id == id && ask(&control, &mut map)?).then_some(map))
}

/// Whether there is a map with this UUID.
pub(super) fn is_there(control: &Control, map: MapId) -> Result<bool, Errno> {
    match control.call::<TABLE_STATUS>(map, None, flag::NOFLUSH, &[]) {
        Ok(_) => Ok(true),
        Err(Errno::NXIO) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// What sysfs tells of a map; `None` if it is not ours, or gone.
fn read_disk(directory: &Path, name: &str) -> Result<Option<Map>, ReadMapsError> {
    let Some(uuid) = read(&directory.join("dm/uuid"))? else {
        return Ok(None);
    };
    let Ok(id) = uuid.parse() else {
        return Ok(None);
    };
    let (Some(dev), Some(size), Some(suspended)) = (
        parsed::<DevT>(&directory.join("dev"))?,
        parsed::<u64>(&directory.join("size"))?,
        read(&directory.join("dm/suspended"))?,
    ) else {
        return Ok(None);
    };
    let path = directory.join("stat");
    let io = match read(&path)? {
        Some(value) => match IoCounts::parse(&value) {
            Some(io) => Some(io).filter(|io| io.under_way > 0),
            None => return Err(malformed(&path, &value).into()),
        },
        None => None,
    };
    let mut paths = Vec::new();
    for slave in attribute::names(&directory.join("slaves"))? {
        let dev = parsed(&directory.join("slaves").join(slave).join("dev"))?;
        paths.extend(dev.map(|dev| MapPath { dev, state: None }));
    }
    Ok(Some(Map {
        id,
        disk: name.to_owned(),
        dev,
        diskseq: parsed(&directory.join("diskseq"))?.map(Diskseq),
        size_bytes: size.saturating_mul(512),
        is_let_go: read(&directory.join("dm/name"))?.is_some_and(|name| name == id.let_go_name()),
        suspended: suspended == "1",
        has_inactive_table: false,
        paths,
        on_path_loss: None,
        io,
    }))
}

/// Adds what device-mapper says; false if the map is gone, or is another by now.
fn ask(control: &Control, map: &mut Map) -> Result<bool, ReadMapsError> {
    let id = map.id;
    let status = |flags| match control.call::<TABLE_STATUS>(id, None, flag::NOFLUSH | flags, &[]) {
        Ok(answer) if answer.has(flag::BUFFER_FULL) => Err(failed(id, Errno::NOBUFS)),
        Ok(answer) => Ok(Some(answer)),
        Err(Errno::NXIO) => Ok(None),
        Err(errno) => Err(failed(id, errno)),
    };
    let (Some(table), Some(status)) = (status(flag::STATUS_TABLE)?, status(0)?) else {
        return Ok(false);
    };
    if status.dev() != map.dev {
        return Ok(false);
    }
    // It gets the name before its table says so, so the name that is read after the table is never too old.
    map.is_let_go = status.name() == id.let_go_name();
    map.suspended = status.has(flag::SUSPEND);
    map.has_inactive_table = status.has(flag::INACTIVE_PRESENT);
    let malformed = |source| ReadMapsError::Status { map: id, source };
    let live = status.has(flag::ACTIVE_PRESENT);
    let is = |kind: &str| live && kind_of(&table) == kind.as_bytes();
    let multipath = |answer| text_of(answer, 1).filter(|_| is(MapTable::TARGET));
    // Behind its end lies an `error` target.
    let linear = text_of(&table, 2).filter(|_| is(MapTable::PASSING));
    // Somebody has wiped its table.
    map.is_let_go |= is(ERROR_TARGET);
    map.on_path_loss = Some(match multipath(&table) {
        // The table of a suspended map of bios does not show `queue_if_no_path` (dm-mpath.c).
        Some(_) if map.suspended => OnPathLoss::Queue,
        Some(text) => parse_table(&text).map_err(malformed)?,
        None if is(ERROR_TARGET) => OnPathLoss::Fail,
        None if linear.is_some() && !map.suspended => OnPathLoss::Pass,
        None => OnPathLoss::Queue,
    });
    map.paths = match (multipath(&status), linear) {
        (Some(text), _) => parse_status(&text).map_err(malformed)?,
        (None, Some(text)) => vec![parse_linear(&text).map_err(malformed)?],
        (None, None) => Vec::new(),
    };
    Ok(true)
}

fn failed(map: MapId, source: Errno) -> ReadMapsError {
    let call = describe("DM_TABLE_STATUS", map, "");
    ReadMapsError::Control(MapError::Call { call, source })
}

/// The text of the first of so many targets, behind its specification; none of a map that is not of our making.
fn text_of(answer: &Answer, targets: u32) -> Option<String> {
    if answer.target_count() != targets {
        return None;
    }
    let text = answer
        .payload()
        .get(SPEC..)?
        .split(|byte| *byte == 0)
        .next()?;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// The name of the first target.
pub(super) fn kind_of(answer: &Answer) -> &[u8] {
    let kind = answer.payload().get(24..SPEC).unwrap_or_default();
    kind.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// What an attribute of a map stands for; `None` too if the map is being removed.
fn parsed<T: FromStr>(path: &Path) -> Result<Option<T>, AttributeError> {
    unless_going(attribute::parsed(path))
}

fn read(path: &Path) -> Result<Option<String>, AttributeError> {
    unless_going(attribute::read(path))
}

fn unless_going<T>(read: Result<Option<T>, AttributeError>) -> Result<Option<T>, AttributeError> {
    match read {
        Err(error) if is_going(&error.source) => Ok(None),
        read => read,
    }
}

/// The attributes of a map that is being removed answer EINVAL (`dm_attr_show` in dm-sysfs.c), or EIO where its kobject
/// is cleared already (`sysfs_kf_seq_show` in fs/sysfs/file.c; seen on 7.2 while 64 maps went). No disk is read for them,
/// so that EIO means nothing else.
fn is_going(error: &std::io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::INVAL | Errno::IO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(root: &Path, name: &str, uuid: &str) {
        let directory = root.join("sys/block").join(name);
        fs::create_dir_all(directory.join("dm")).expect("a directory");
        fs::create_dir_all(directory.join("slaves/nvme0n1")).expect("a directory");
        for (attribute, value) in [
            ("dm/uuid", uuid),
            ("dm/suspended", "0"),
            ("dev", "253:0"),
            ("size", "2048"),
            ("diskseq", "17"),
            ("slaves/nvme0n1/dev", "259:1"),
        ] {
            fs::write(directory.join(attribute), format!("{value}\n")).expect("an attribute");
        }
    }

    #[test]
    fn only_maps_of_ours_are_read() {
        let root = tempfile::tempdir().expect("a directory");
        assert_eq!(read_maps(root.path()).expect("no disks"), []);
        let ours = MapId::of_volume("csi.example", "a");
        map(root.path(), "dm-0", "LVM-abcdef");
        map(root.path(), "dm-1", &ours.uuid());
        map(root.path(), "sda", &ours.uuid());
        let maps = read_maps(root.path()).expect("readable");
        let [found] = maps.as_slice() else {
            panic!("{maps:?}");
        };
        assert_eq!((found.id, found.disk.as_str()), (ours, "dm-1"));
        assert_eq!(found.size_bytes, 1 << 20);
        assert_eq!(found.diskseq, Some(Diskseq(17)));
        let dev = "259:1".parse().expect("a number");
        assert_eq!(found.paths, [MapPath { dev, state: None }]);
    }

    #[test]
    fn a_map_of_others_may_be_called_anything() {
        let root = tempfile::tempdir().expect("a directory");
        let ours = MapId::of_volume("csi.example", "a");
        map(root.path(), "dm-0", "LVM-abcdef");
        map(root.path(), "dm-1", &ours.uuid());
        let uuid = root.path().join("sys/block/dm-0/dm/uuid");
        fs::write(uuid, b"\xff\xfe\n").expect("an attribute");
        let maps = read_maps(root.path()).expect("readable");
        let found: Vec<_> = maps.iter().map(|map| map.id).collect();
        assert_eq!(found, [ours]);
    }

    #[test]
    fn a_map_that_is_being_removed_is_gone_and_another_failure_is_not() {
        let failed = |errno: Errno| std::io::Error::from(errno);
        assert!(is_going(&failed(Errno::INVAL)) && is_going(&failed(Errno::IO)));
        assert!(!is_going(&failed(Errno::ACCESS)) && !is_going(&failed(Errno::MFILE)));
    }

    #[test]
    fn garbage_is_an_error_and_a_vanished_map_is_none() {
        let root = tempfile::tempdir().expect("a directory");
        map(
            root.path(),
            "dm-0",
            &MapId::of_volume("csi.example", "a").uuid(),
        );
        let directory = root.path().join("sys/block/dm-0");
        fs::write(directory.join("size"), "many\n").expect("an attribute");
        let error = read_maps(root.path()).expect_err("no number");
        let error = crate::causes::chain(&error);
        assert!(error.ends_with("size: it says \"many\""), "{error}");
        fs::remove_file(directory.join("size")).expect("removed");
        assert_eq!(read_maps(root.path()).expect("gone"), []);
    }
}
