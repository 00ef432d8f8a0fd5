//! The short listing: what `nvme list-subsys -o json` prints (nvme-cli 2.13), and nothing that it does not.
//!
//! Invariant: texts are as the kernel prints them, without the line break, so that scripts find what they found before.

use std::collections::HashMap;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread;

use crate::attribute::Directory;
use crate::entry::Entry;
use crate::error::ScanError;

/// One host as which this machine is connected, with the subsystems that it sees so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedHost {
    /// `hostnqn` of the controllers; absent for those that have none (PCIe). nvme-cli prints the machine's own then.
    pub hostnqn: Option<String>,
    /// `hostid` of the controllers; absent for those that have none (PCIe). nvme-cli prints the machine's own then.
    pub hostid: Option<String>,
    /// Subsystems by number.
    pub subsystems: Vec<ListedSubsystem>,
}

/// One subsystem with at least one controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedSubsystem {
    /// `nvme-subsys0`.
    pub name: String,
    /// Its qualified name.
    pub nqn: String,
    /// Its controllers by number.
    pub paths: Vec<ListedPath>,
}

/// One controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPath {
    /// `nvme3`.
    pub name: String,
    /// Attribute `transport`.
    pub transport: String,
    /// Attribute `address`; empty where the kernel prints none.
    pub address: String,
    /// Attribute `state`.
    pub state: String,
}

/// `hostnqn` and `hostid` of a controller.
type HostKey = (Option<String>, Option<String>);

/// Hosts in the order in which they were met.
#[derive(Default)]
struct Hosts {
    listed: Vec<ListedHost>,
    by_key: HashMap<HostKey, usize>,
}

/// One subsystem as it was read.
struct Found {
    name: String,
    nqn: String,
    controllers: Vec<(HostKey, ListedPath)>,
}

/// As many subsystems are worth a thread: below that, starting it costs more than it saves.
const WORTH_A_THREAD: usize = 128;
/// Reading sysfs is almost all kernel time on data touched once; more readers than this were no faster.
const MAX_THREADS: usize = 4;

/// Lists the controllers of every subsystem.
pub(crate) fn read(classes: &Directory) -> Result<Vec<ListedHost>, ScanError> {
    let Some(class) = classes.directory("nvme-subsystem")? else {
        return Ok(Vec::new());
    };
    let mut hosts = Hosts::default();
    for found in read_subsystems(&class)? {
        for (key, path) in found.controllers {
            hosts.add(key, &found.name, &found.nqn, path);
        }
    }
    Ok(hosts.listed)
}

/// Every subsystem in order, read by several threads where there are many.
fn read_subsystems(class: &Directory) -> Result<Vec<Found>, ScanError> {
    let entries = class.nvme_entries()?;
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = (entries.len() / WORTH_A_THREAD).clamp(1, processors.min(MAX_THREADS));
    if threads == 1 {
        return read_some(class, &entries);
    }
    let parts = entries.chunks(entries.len().div_ceil(threads));
    let parts: Vec<_> = thread::scope(|scope| {
        let readers: Vec<_> = parts
            .map(|part| scope.spawn(|| read_some(class, part)))
            .collect();
        readers.into_iter().map(|reader| reader.join()).collect()
    });
    let mut all = Vec::with_capacity(entries.len());
    for part in parts {
        all.extend(part.unwrap_or_else(|panic| resume_unwind(panic))?);
    }
    Ok(all)
}

fn read_some(class: &Directory, entries: &[Entry]) -> Result<Vec<Found>, ScanError> {
    let mut found = Vec::with_capacity(entries.len());
    for entry in entries {
        if matches!(entry, Entry::Subsystem(_)) {
            found.extend(read_subsystem(class, entry.to_string())?);
        }
    }
    Ok(found)
}

fn read_subsystem(class: &Directory, name: String) -> Result<Option<Found>, ScanError> {
    let Some(directory) = class.directory(&name)? else {
        return Ok(None);
    };
    let controllers = read_controllers(&directory)?;
    // Read last, as the proof that the subsystem is still there.
    let nqn = directory.proof_line("subsysnqn", "a qualified name")?;
    Ok(nqn.map(|nqn| Found {
        name,
        nqn,
        controllers,
    }))
}

fn read_controllers(subsystem: &Directory) -> Result<Vec<(HostKey, ListedPath)>, ScanError> {
    let mut controllers = Vec::new();
    for entry in subsystem.nvme_entries()? {
        let Entry::Controller(_) = entry else {
            continue;
        };
        let name = entry.to_string();
        if let Some(directory) = subsystem.directory(&name)? {
            controllers.extend(read_controller(&directory, name)?);
        }
    }
    Ok(controllers)
}

fn read_controller(
    directory: &Directory,
    name: String,
) -> Result<Option<(HostKey, ListedPath)>, ScanError> {
    let key = (directory.line("hostnqn")?, directory.line("hostid")?);
    let transport = directory.line("transport")?;
    let address = directory.line("address")?.unwrap_or_default();
    // Read last, as the proof that the controller is still there.
    let Some(state) = directory.proof("state", "a controller state", |state| {
        Some(state.to_owned())
    })?
    else {
        return Ok(None);
    };
    let transport = transport.ok_or_else(|| directory.missing("transport"))?;
    Ok(Some((
        key,
        ListedPath {
            name,
            transport,
            address,
            state,
        },
    )))
}

impl Hosts {
    fn add(&mut self, key: HostKey, name: &str, nqn: &str, path: ListedPath) {
        let index = *self
            .by_key
            .entry(key)
            .or_insert_with_key(|(hostnqn, hostid)| {
                let host = ListedHost {
                    hostnqn: hostnqn.clone(),
                    hostid: hostid.clone(),
                    subsystems: Vec::new(),
                };
                self.listed.push(host);
                self.listed.len() - 1
            });
        let subsystems = &mut self.listed[index].subsystems;
        match subsystems.last_mut() {
            Some(last) if last.name == name => last.paths.push(path),
            _ => subsystems.push(ListedSubsystem {
                name: name.to_owned(),
                nqn: nqn.to_owned(),
                paths: vec![path],
            }),
        }
    }
}
