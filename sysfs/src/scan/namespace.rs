//! Reading disks: heads, controllers' own disks, and hidden paths.

use std::collections::HashMap;
use std::time::Duration;

use crate::attribute::Directory;
use crate::device::{Diskseq, Instance, decimal};
use crate::diagnostics::{HeadCounters, PathCounters};
use crate::entry::Entry;
use crate::error::ScanError;
use crate::identity::{NamespaceIdentity, Wwid};
use crate::namespace::{Namespace, NamespaceKind};
use crate::path::NamespacePath;
use crate::value;

/// Heads by the names of their paths, as the links in the heads' directories `multipath/` say (since 6.15).
pub(super) type PathLinks = HashMap<Entry, Entry>;

/// Reads a disk; `None` if it is gone.
pub(super) fn read(
    directory: &Directory,
    entry: Entry,
    kind: NamespaceKind,
) -> Result<Option<Namespace>, ScanError> {
    // The fields are read in the order in which they stand here: the size last, as the proof.
    Ok(Some(Namespace {
        name: entry.to_string(),
        kind,
        dev: directory.value("dev", "major:minor", |text| text.parse().ok())?,
        diskseq: read_diskseq(directory)?,
        identity: read_identity(directory)?,
        wwid: directory.text("wwid")?.map(Wwid),
        logical_block_size: directory.value(
            "queue/logical_block_size",
            "a decimal number",
            decimal,
        )?,
        csi: read_csi(directory)?,
        metadata_bytes: read_metadata_bytes(directory)?,
        read_only: read_read_only(directory)?,
        delayed_removal: read_delayed_removal(directory)?,
        counters: read_head_counters(directory)?,
        holders: read_holders(directory)?,
        size_bytes: match read_size(directory)? {
            Some(size) => size,
            None => return Ok(None),
        },
    }))
}

/// Reads a path; `None` if it is gone.
pub(super) fn read_path(
    directory: &Directory,
    entry: Entry,
    controller: Instance,
    head: Entry,
) -> Result<Option<NamespacePath>, ScanError> {
    Ok(Some(NamespacePath {
        name: entry.to_string(),
        controller,
        head: head.to_string(),
        ana_state: directory.word("ana_state")?,
        ana_grpid: directory.value("ana_grpid", "a decimal number", decimal)?,
        identity: read_identity(directory)?,
        wwid: directory.text("wwid")?.map(Wwid),
        diskseq: read_diskseq(directory)?,
        csi: read_csi(directory)?,
        metadata_bytes: read_metadata_bytes(directory)?,
        read_only: read_read_only(directory)?,
        queue_depth: directory.value("queue_depth", "a decimal number", decimal)?,
        numa_nodes: directory.text("numa_nodes")?,
        counters: read_path_counters(directory)?,
        size_bytes: match read_size(directory)? {
            Some(size) => size,
            None => return Ok(None),
        },
    }))
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

fn read_identity(directory: &Directory) -> Result<NamespaceIdentity, ScanError> {
    let nsid = directory
        .value("nsid", "a namespace id", value::identifier)?
        .flatten();
    let uuid = directory
        .value("uuid", "a uuid", value::identifier)?
        .flatten();
    let nguid = directory
        .value("nguid", "32 hexadecimal digits", value::identifier)?
        .flatten();
    let eui64 = directory
        .value("eui", "16 hexadecimal digits", value::identifier)?
        .flatten();
    Ok(NamespaceIdentity::new(nsid, uuid, nguid, eui64))
}

fn read_diskseq(directory: &Directory) -> Result<Option<Diskseq>, ScanError> {
    let diskseq = directory.value("diskseq", "a decimal number", decimal)?;
    Ok(diskseq.map(Diskseq))
}

fn read_csi(directory: &Directory) -> Result<Option<u8>, ScanError> {
    directory.value("csi", "a decimal number", decimal)
}

fn read_metadata_bytes(directory: &Directory) -> Result<Option<u32>, ScanError> {
    directory.value("metadata_bytes", "a decimal number", decimal)
}

fn read_read_only(directory: &Directory) -> Result<Option<bool>, ScanError> {
    directory.value("ro", "0 or 1", value::flag)
}

fn read_size(directory: &Directory) -> Result<Option<u64>, ScanError> {
    directory.proof("size", "a number of 512-byte sectors", value::size_bytes)
}

fn read_delayed_removal(directory: &Directory) -> Result<Option<Duration>, ScanError> {
    directory.value("delayed_removal_secs", "seconds", value::seconds)
}

fn read_holders(directory: &Directory) -> Result<Vec<String>, ScanError> {
    let Some(holders) = directory.directory("holders")? else {
        return Ok(Vec::new());
    };
    let mut names = holders.entries(|name| Some(name.to_owned()))?;
    names.sort_unstable();
    Ok(names)
}

fn read_head_counters(directory: &Directory) -> Result<HeadCounters, ScanError> {
    Ok(HeadCounters {
        requeued: directory.value(
            "diag/io_requeue_no_usable_path_count",
            "a decimal number",
            decimal,
        )?,
        failed: directory.value(
            "diag/io_fail_no_available_path_count",
            "a decimal number",
            decimal,
        )?,
    })
}

fn read_path_counters(directory: &Directory) -> Result<PathCounters, ScanError> {
    Ok(PathCounters {
        command_retries: directory.value(
            "diag/command_retries_count",
            "a decimal number",
            decimal,
        )?,
        command_errors: directory.value("diag/command_error_count", "a decimal number", decimal)?,
        failovers: directory.value("diag/multipath_failover_count", "a decimal number", decimal)?,
    })
}
