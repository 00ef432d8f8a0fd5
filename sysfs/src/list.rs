//! The short listing: what `nvme list-subsys -o json` prints (nvme-cli 2.13), and nothing that it does not.
//!
//! Invariant: texts are as the kernel prints them, without the line break, so that scripts find what they found before.

use std::collections::HashMap;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread::{self, Builder};

use crate::attribute::Directory;
use crate::entry::Entry;
use crate::error::{ScanError, Unknown};
use crate::reader::{Reader, UNKNOWN, note};

/// What the short listing reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Hosts in the order in which they were met.
    pub hosts: Vec<ListedHost>,
    /// What could not be read.
    pub unknown: Vec<Unknown>,
}

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
    /// Its qualified name; empty if it could not be read.
    pub nqn: String,
    /// Its controllers by number.
    pub paths: Vec<ListedPath>,
}

/// One controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPath {
    /// `nvme3`.
    pub name: String,
    /// Attribute `transport`; `unknown` if it could not be read.
    pub transport: String,
    /// Attribute `address`; empty where the kernel prints none.
    pub address: String,
    /// Attribute `state`; `unknown` if it could not be read.
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
    unknown: Vec<Unknown>,
}

/// As many subsystems are worth a thread: below that, starting it costs more than it saves.
const WORTH_A_THREAD: usize = 128;
/// Reading sysfs is almost all kernel time on data touched once; more readers than this were no faster.
const MAX_THREADS: usize = 4;

/// Lists the controllers of every subsystem.
pub(crate) fn read(classes: &Directory) -> Result<Listing, ScanError> {
    let Some(class) = classes.directory("nvme-subsystem")? else {
        return Ok(Listing::default());
    };
    let mut hosts = Hosts::default();
    let mut unknown = Vec::new();
    for found in read_subsystems(&class, &class.nvme_entries()?) {
        for (key, path) in found.controllers {
            hosts.add(key, &found.name, &found.nqn, path);
        }
        unknown.extend(found.unknown);
    }
    let hosts = hosts.listed;
    Ok(Listing { hosts, unknown })
}

/// Every subsystem in order, read by several threads where there are many.
fn read_subsystems(class: &Directory, entries: &[Entry]) -> Vec<Found> {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = (entries.len() / WORTH_A_THREAD).clamp(1, processors.min(MAX_THREADS));
    if threads == 1 {
        return read_some(class, entries);
    }
    read_in_parts(class, entries, threads, Builder::new)
}

/// Reads with as many threads as asked for, each made by `builder`. A thread that cannot be started, as where a
/// container's limit of processes is reached, only makes the listing slower: its part is read here.
fn read_in_parts(
    class: &Directory,
    entries: &[Entry],
    threads: usize,
    builder: fn() -> Builder,
) -> Vec<Found> {
    let mut all = Vec::with_capacity(entries.len());
    thread::scope(|scope| {
        let started: Vec<_> = entries
            .chunks(entries.len().div_ceil(threads))
            .map(|part| {
                let reader = builder().spawn_scoped(scope, || read_some(class, part));
                (part, reader)
            })
            .collect();
        for (part, reader) in started {
            all.extend(match reader {
                Ok(reader) => reader.join().unwrap_or_else(|panic| resume_unwind(panic)),
                Err(_) => read_some(class, part),
            });
        }
    });
    all
}

fn read_some(class: &Directory, entries: &[Entry]) -> Vec<Found> {
    let mut found = Vec::with_capacity(entries.len());
    for entry in entries {
        if matches!(entry, Entry::Subsystem(_)) {
            found.extend(read_subsystem(class, entry.to_string()));
        }
    }
    found
}

fn read_subsystem(class: &Directory, name: String) -> Option<Found> {
    let mut found = Found {
        name,
        nqn: String::new(),
        controllers: Vec::new(),
        unknown: Vec::new(),
    };
    let opened = class.directory(&found.name);
    let Some(directory) = note(opened, &mut found.unknown) else {
        return Some(found);
    };
    let directory = directory?;
    read_controllers(&directory, &mut found);
    // Read last, as the proof that the subsystem is still there.
    let mut own = Reader::of(&directory);
    let nqn = own.proof_line("subsysnqn", "a qualified name")?;
    found.nqn = nqn.unwrap_or_default();
    found.unknown.extend(own.noted());
    Some(found)
}

fn read_controllers(subsystem: &Directory, found: &mut Found) {
    let entries = note(subsystem.nvme_entries(), &mut found.unknown);
    for entry in entries.unwrap_or_default() {
        let Entry::Controller(_) = entry else {
            continue;
        };
        let name = entry.to_string();
        let opened = note(subsystem.directory(&name), &mut found.unknown);
        if let Some(Some(directory)) = opened {
            let read = read_controller(&directory, name, &mut found.unknown);
            found.controllers.extend(read);
        } else if opened.is_none() {
            let path = ListedPath {
                name,
                transport: UNKNOWN.to_owned(),
                address: String::new(),
                state: UNKNOWN.to_owned(),
            };
            found.controllers.push(((None, None), path));
        }
    }
}

fn read_controller(
    directory: &Directory,
    name: String,
    unknown: &mut Vec<Unknown>,
) -> Option<(HostKey, ListedPath)> {
    let mut own = Reader::of(directory);
    let key = (own.line("hostnqn"), own.line("hostid"));
    let transport = own.needed_line("transport");
    let address = own.line("address").unwrap_or_default();
    // Read last, as the proof that the controller is still there.
    let state = own.proof("state", "a controller state", |state| {
        Some(state.to_owned())
    })?;
    unknown.extend(own.noted());
    let path = ListedPath {
        name,
        transport,
        address,
        state: state.unwrap_or_else(|| UNKNOWN.to_owned()),
    };
    Some((key, path))
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn threads_that_cannot_be_started_leave_nothing_unread() {
        let temp = tempfile::tempdir().expect("a directory");
        for number in 0..7 {
            let subsystem = temp.path().join(format!("nvme-subsys{number}"));
            fs::create_dir(&subsystem).expect("made");
            fs::write(subsystem.join("subsysnqn"), format!("testnqn{number}\n")).expect("written");
        }
        let class = Directory::open(temp.path().to_owned())
            .expect("opened")
            .expect("there");
        let entries = class.nvme_entries().expect("listed");
        // No machine has an exbibyte to give to a stack.
        let unstartable = || Builder::new().stack_size(1 << 60);
        assert!(unstartable().spawn(|| ()).is_err());
        for builder in [Builder::new, unstartable] {
            let found = read_in_parts(&class, &entries, 3, builder);
            let names = found.into_iter().map(|found| found.nqn);
            let expected = (0..7).map(|number| format!("testnqn{number}"));
            assert!(names.eq(expected));
        }
    }
}
