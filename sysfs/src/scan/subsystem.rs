//! Reading subsystems with their controllers and disks.

use crate::attribute::Directory;
use crate::controller::Controller;
use crate::device::Instance;
use crate::entry::Entry;
use crate::error::{ScanError, Unknown};
use crate::namespace::{Namespace, NamespaceKind};
use crate::nqn::Nqn;
use crate::reader::{Reader, note};
use crate::scan::addresses::Addresses;
use crate::scan::namespace::PathLinks;
use crate::scan::{controller, namespace};
use crate::subsystem::Subsystem;
use crate::value;

/// Reads every subsystem, by number.
pub(super) fn read_all(
    classes: &Directory,
    addresses: &Addresses,
) -> Result<Vec<Subsystem>, ScanError> {
    read_those(classes, addresses, |_| Ok(true))
}

/// Reads those of this name. What has another one at the first look never has this one: a subsystem keeps its name. One
/// whose name is unknown may have it.
pub(super) fn read_named(
    classes: &Directory,
    addresses: &Addresses,
    nqn: &Nqn,
) -> Result<Vec<Subsystem>, ScanError> {
    read_those(classes, addresses, |directory| {
        let text = directory.foreign_text("subsysnqn")?;
        Ok(text.is_none_or(|text| value::nqn(&text).as_ref() == Some(nqn)))
    })
}

fn read_those(
    classes: &Directory,
    addresses: &Addresses,
    is_wanted: impl Fn(&Directory) -> Result<bool, ScanError>,
) -> Result<Vec<Subsystem>, ScanError> {
    let Some(class) = classes.directory("nvme-subsystem")? else {
        return Ok(Vec::new());
    };
    let mut subsystems = Vec::new();
    for entry in class.nvme_entries()? {
        let Entry::Subsystem(_) = entry else { continue };
        match class.directory(&entry.to_string()) {
            Ok(Some(directory)) if is_wanted(&directory).unwrap_or(true) => {
                subsystems.extend(read(&directory, addresses, entry));
            }
            Ok(_) => {}
            Err(error) => subsystems.push(unreadable(entry, vec![error.into()])),
        }
    }
    Ok(subsystems)
}

/// Reads one subsystem; `None` if it is gone.
fn read(directory: &Directory, addresses: &Addresses, entry: Entry) -> Option<Subsystem> {
    let mut own = Reader::of(directory);
    let members = own.note(directory.nvme_entries()).unwrap_or_default();
    let (mut namespaces, links) = read_heads(directory, &members);
    let mut controllers = Vec::new();
    for member in members {
        let Entry::Controller(instance) = member else {
            continue;
        };
        match directory.directory(&member.to_string()) {
            // The link to a controller outlives it while somebody holds its device open.
            Ok(None) => {}
            Ok(Some(member)) => {
                if let Some((controller, disks)) = read_member(&member, addresses, instance, &links)
                {
                    controllers.push(controller);
                    namespaces.extend(disks);
                }
            }
            Err(error) => controllers.push(controller::unreadable(instance, vec![error.into()])),
        }
    }
    // Trees are kept by whoever waits: the usual vector of one is as large as one of four.
    controllers.shrink_to_fit();
    namespaces.shrink_to_fit();
    let mut subsystem = Subsystem {
        subsystype: own.word("subsystype"),
        model: own.foreign_text("model"),
        serial: own.foreign_text("serial"),
        firmware_rev: own.foreign_text("firmware_rev"),
        iopolicy: own.word("iopolicy"),
        controllers,
        namespaces,
        ..unreadable(entry, Vec::new())
    };
    // Read last, as the proof.
    let nqn_text = own.proof_line("subsysnqn", "a qualified name")?;
    subsystem.nqn = nqn_text.as_deref().and_then(value::nqn);
    subsystem.nqn_text = nqn_text.unwrap_or_default();
    subsystem.unknown = own.noted();
    Some(subsystem)
}

/// A subsystem that is there, of which nothing is known.
fn unreadable(entry: Entry, unknown: Vec<Unknown>) -> Subsystem {
    Subsystem {
        name: entry.to_string(),
        nqn: None,
        nqn_text: String::new(),
        subsystype: None,
        model: None,
        serial: None,
        firmware_rev: None,
        iopolicy: None,
        controllers: Vec::new(),
        namespaces: Vec::new(),
        unknown,
    }
}

fn read_heads(directory: &Directory, members: &[Entry]) -> (Vec<Namespace>, PathLinks) {
    let mut heads = Vec::new();
    let mut links = PathLinks::new();
    for &member in members {
        let Entry::Namespace { .. } = member else {
            continue;
        };
        let kind = NamespaceKind::Head;
        match directory.directory(&member.to_string()) {
            Ok(None) => {}
            Ok(Some(disk)) => {
                let mut unknown = Vec::new();
                let read_links = namespace::read_path_links(&disk, member, &mut links);
                note(read_links, &mut unknown);
                heads.extend(namespace::read(&disk, member, kind, unknown));
            }
            Err(error) => heads.push(namespace::unreadable(member, kind, vec![error.into()])),
        }
    }
    (heads, links)
}

/// Reads one controller with its paths, and its own disks; `None` if it is gone.
fn read_member(
    directory: &Directory,
    addresses: &Addresses,
    instance: Instance,
    links: &PathLinks,
) -> Option<(Controller, Vec<Namespace>)> {
    let mut paths = Vec::new();
    let mut disks = Vec::new();
    let mut unknown = Vec::new();
    let entries = note(directory.nvme_entries(), &mut unknown).unwrap_or_default();
    for entry in entries {
        let (Entry::Path { .. } | Entry::Namespace { .. }) = entry else {
            continue;
        };
        let opened = directory.directory(&entry.to_string());
        match (links.get(&entry).copied().or(entry.head()), opened) {
            (_, Ok(None)) => {}
            (Some(head), Ok(Some(disk))) => {
                paths.extend(namespace::read_path(&disk, entry, instance, head));
            }
            (Some(head), Err(error)) => {
                let unknown = vec![error.into()];
                paths.push(namespace::unreadable_path(entry, instance, head, unknown));
            }
            (None, Ok(Some(disk))) => {
                let kind = NamespaceKind::Disk(instance);
                disks.extend(namespace::read(&disk, entry, kind, Vec::new()));
            }
            (None, Err(error)) => {
                let kind = NamespaceKind::Disk(instance);
                disks.push(namespace::unreadable(entry, kind, vec![error.into()]));
            }
        }
    }
    paths.shrink_to_fit();
    let controller = controller::read(directory, addresses, instance, (paths, unknown))?;
    Some((controller, disks))
}
