//! Reading disks: heads, controllers' own disks, and hidden paths.

use std::collections::HashMap;

use crate::attribute::Directory;
use crate::device::{DevT, Diskseq, Instance, decimal};
use crate::diagnostics::{HeadCounters, PathCounters};
use crate::entry::Entry;
use crate::error::{ScanError, Unknown};
use crate::identity::{NamespaceIdentity, Wwid};
use crate::namespace::{Namespace, NamespaceKind};
use crate::path::{AnaState, NamespacePath};
use crate::reader::{Reader, UNKNOWN};
use crate::value;

/// Heads by the names of their paths, as the links in the heads' directories `multipath/` say (since 6.15).
pub(super) type PathLinks = HashMap<Entry, Entry>;

/// Reads a disk; `None` if it is gone.
pub(super) fn read(
    directory: &Directory,
    entry: Entry,
    kind: NamespaceKind,
    unknown: Vec<Unknown>,
) -> Option<Namespace> {
    let mut disk = Reader::of(directory);
    let wwid = disk.text("wwid").map(Wwid);
    // The fields are read in the order in which they stand here: the size last, as the proof.
    let mut namespace = Namespace {
        dev: read_dev(&mut disk),
        diskseq: read_diskseq(&mut disk),
        identity: read_identity(&mut disk, wwid.as_ref()),
        wwid,
        logical_block_size: disk.value("queue/logical_block_size", "a decimal number", decimal),
        csi: read_csi(&mut disk),
        metadata_bytes: read_metadata_bytes(&mut disk),
        read_only: read_read_only(&mut disk),
        delayed_removal: disk.value("delayed_removal_secs", "seconds", value::seconds),
        counters: read_head_counters(&mut disk),
        holders: disk.note(read_holders(directory)).unwrap_or_default(),
        size_bytes: read_size(&mut disk)?,
        ..unreadable(entry, kind, unknown)
    };
    namespace.unknown.extend(disk.noted());
    Some(namespace)
}

/// A disk that is there, of which nothing is known.
pub(super) fn unreadable(entry: Entry, kind: NamespaceKind, unknown: Vec<Unknown>) -> Namespace {
    Namespace {
        name: entry.to_string(),
        kind,
        dev: None,
        diskseq: None,
        identity: NamespaceIdentity::default(),
        wwid: None,
        size_bytes: 0,
        logical_block_size: None,
        csi: None,
        metadata_bytes: None,
        read_only: None,
        delayed_removal: None,
        counters: HeadCounters::default(),
        holders: Vec::new(),
        unknown,
    }
}

/// Reads a path; `None` if it is gone.
pub(super) fn read_path(
    directory: &Directory,
    entry: Entry,
    controller: Instance,
    head: Entry,
) -> Option<NamespacePath> {
    let mut disk = Reader::of(directory);
    let wwid = disk.text("wwid").map(Wwid);
    let mut path = NamespacePath {
        ana_state: read_ana_state(directory, &mut disk),
        ana_grpid: disk.value("ana_grpid", "a decimal number", value::wrapped),
        identity: read_identity(&mut disk, wwid.as_ref()),
        wwid,
        diskseq: read_diskseq(&mut disk),
        csi: read_csi(&mut disk),
        metadata_bytes: read_metadata_bytes(&mut disk),
        read_only: read_read_only(&mut disk),
        queue_depth: disk.value("queue_depth", "a decimal number", decimal),
        numa_nodes: disk.text("numa_nodes"),
        counters: read_path_counters(&mut disk),
        size_bytes: read_size(&mut disk)?,
        ..unreadable_path(entry, controller, head, Vec::new())
    };
    path.unknown = disk.noted();
    Some(path)
}

/// A path that is there, of which nothing is known.
pub(super) fn unreadable_path(
    entry: Entry,
    controller: Instance,
    head: Entry,
    unknown: Vec<Unknown>,
) -> NamespacePath {
    NamespacePath {
        name: entry.to_string(),
        controller,
        head: head.to_string(),
        ana_state: Some(AnaState::from(UNKNOWN)),
        ana_grpid: None,
        identity: NamespaceIdentity::default(),
        wwid: None,
        diskseq: None,
        size_bytes: 0,
        csi: None,
        metadata_bytes: None,
        read_only: None,
        queue_depth: None,
        numa_nodes: None,
        counters: PathCounters::default(),
        unknown,
    }
}

/// Notes the paths that a head links to.
pub(super) fn read_path_links(
    directory: &Directory,
    head: Entry,
    links: &mut PathLinks,
) -> Result<(), ScanError> {
    if let Some(multipath) = directory.directory("multipath")? {
        let paths = multipath.entries(Entry::parse)?;
        links.extend(paths.into_iter().map(|path| (path, head)));
    }
    Ok(())
}

/// One that cannot be read is not taken for that of a controller that reports none.
fn read_ana_state(directory: &Directory, disk: &mut Reader<'_>) -> Option<AnaState> {
    let state = disk.note(directory.word("ana_state"));
    state.unwrap_or_else(|| Some(AnaState::from(UNKNOWN)))
}

fn read_identity(disk: &mut Reader<'_>, wwid: Option<&Wwid>) -> NamespaceIdentity {
    let nsid = disk.value("nsid", "a namespace id", value::nsid).flatten();
    let uuid = disk.value("uuid", "a uuid", value::identifier).flatten();
    let nguid = disk
        .value("nguid", "32 hexadecimal digits", value::identifier)
        .flatten();
    let eui64 = disk
        .value("eui", "16 hexadecimal digits", value::identifier)
        .flatten();
    NamespaceIdentity::new(nsid, uuid, nguid, eui64, wwid)
}

fn read_dev(disk: &mut Reader<'_>) -> Option<DevT> {
    disk.value("dev", "major:minor", |text| text.parse().ok())
}

fn read_diskseq(disk: &mut Reader<'_>) -> Option<Diskseq> {
    disk.value("diskseq", "a decimal number", decimal)
        .map(Diskseq)
}

fn read_csi(disk: &mut Reader<'_>) -> Option<u8> {
    disk.value("csi", "a decimal number", decimal)
}

fn read_metadata_bytes(disk: &mut Reader<'_>) -> Option<u32> {
    disk.value("metadata_bytes", "a decimal number", decimal)
}

fn read_read_only(disk: &mut Reader<'_>) -> Option<bool> {
    disk.value("ro", "0 or 1", value::flag)
}

/// The size, as the proof; `None` if the disk is gone, zero if its size is unknown.
fn read_size(disk: &mut Reader<'_>) -> Option<u64> {
    let size = disk.proof("size", "a number of 512-byte sectors", value::size_bytes)?;
    Some(size.unwrap_or_default())
}

fn read_holders(directory: &Directory) -> Result<Vec<String>, ScanError> {
    let Some(holders) = directory.directory("holders")? else {
        return Ok(Vec::new());
    };
    let mut names = holders.entries(|name| Some(name.to_owned()))?;
    names.sort_unstable();
    Ok(names)
}

fn read_head_counters(disk: &mut Reader<'_>) -> HeadCounters {
    let mut counter = |name: &str| disk.value(name, "a decimal number", decimal);
    HeadCounters {
        requeued: counter("diag/io_requeue_no_usable_path_count"),
        failed: counter("diag/io_fail_no_available_path_count"),
    }
}

fn read_path_counters(disk: &mut Reader<'_>) -> PathCounters {
    let mut counter = |name: &str| disk.value(name, "a decimal number", decimal);
    PathCounters {
        command_retries: counter("diag/command_retries_count"),
        command_errors: counter("diag/command_error_count"),
        failovers: counter("diag/multipath_failover_count"),
    }
}
