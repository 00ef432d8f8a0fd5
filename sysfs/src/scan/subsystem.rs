//! Reading subsystems with their controllers and disks.

use crate::attribute::Directory;
use crate::controller::Controller;
use crate::device::Instance;
use crate::entry::Entry;
use crate::error::ScanError;
use crate::namespace::{Namespace, NamespaceKind};
use crate::nqn::Nqn;
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

/// Reads those of this name. What has another one at the first look never has this one: a subsystem keeps its name.
pub(super) fn read_named(
    classes: &Directory,
    addresses: &Addresses,
    nqn: &Nqn,
) -> Result<Vec<Subsystem>, ScanError> {
    read_those(classes, addresses, |directory| {
        let text = directory.foreign_text("subsysnqn")?;
        Ok(text.as_deref().and_then(value::nqn).as_ref() == Some(nqn))
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
        if let Some(directory) = class.directory(&entry.to_string())?
            && is_wanted(&directory)?
        {
            subsystems.extend(read(&directory, addresses, entry)?);
        }
    }
    Ok(subsystems)
}

/// Reads one subsystem; `None` if it is gone.
fn read(
    directory: &Directory,
    addresses: &Addresses,
    entry: Entry,
) -> Result<Option<Subsystem>, ScanError> {
    let members = directory.nvme_entries()?;
    let (mut namespaces, links) = read_heads(directory, &members)?;
    let mut controllers = Vec::new();
    for member in members {
        let Entry::Controller(instance) = member else {
            continue;
        };
        // The link to a controller outlives it while somebody holds its device open.
        let Some(member) = directory.directory(&member.to_string())? else {
            continue;
        };
        if let Some((controller, disks)) = read_member(&member, addresses, instance, &links)? {
            controllers.push(controller);
            namespaces.extend(disks);
        }
    }
    // Trees are kept by whoever waits: the usual vector of one is as large as one of four.
    controllers.shrink_to_fit();
    namespaces.shrink_to_fit();
    let mut subsystem = Subsystem {
        name: entry.to_string(),
        nqn: None,
        nqn_text: String::new(),
        subsystype: directory.word("subsystype")?,
        model: directory.foreign_text("model")?,
        serial: directory.foreign_text("serial")?,
        firmware_rev: directory.foreign_text("firmware_rev")?,
        iopolicy: directory.word("iopolicy")?,
        controllers,
        namespaces,
    };
    // Read last, as the proof.
    let Some(nqn_text) = directory.proof_line("subsysnqn", "a qualified name")? else {
        return Ok(None);
    };
    subsystem.nqn = value::nqn(&nqn_text);
    subsystem.nqn_text = nqn_text;
    Ok(Some(subsystem))
}

fn read_heads(
    directory: &Directory,
    members: &[Entry],
) -> Result<(Vec<Namespace>, PathLinks), ScanError> {
    let mut heads = Vec::new();
    let mut links = PathLinks::new();
    for &member in members {
        let Entry::Namespace { .. } = member else {
            continue;
        };
        let Some(disk) = directory.directory(&member.to_string())? else {
            continue;
        };
        namespace::read_path_links(&disk, member, &mut links)?;
        heads.extend(namespace::read(&disk, member, NamespaceKind::Head)?);
    }
    Ok((heads, links))
}

/// Reads one controller with its paths, and its own disks; `None` if it is gone.
fn read_member(
    directory: &Directory,
    addresses: &Addresses,
    instance: Instance,
    links: &PathLinks,
) -> Result<Option<(Controller, Vec<Namespace>)>, ScanError> {
    let mut paths = Vec::new();
    let mut disks = Vec::new();
    for entry in directory.nvme_entries()? {
        let (Entry::Path { .. } | Entry::Namespace { .. }) = entry else {
            continue;
        };
        let Some(disk) = directory.directory(&entry.to_string())? else {
            continue;
        };
        match links.get(&entry).copied().or(entry.head()) {
            Some(head) => paths.extend(namespace::read_path(&disk, entry, instance, head)?),
            None => disks.extend(namespace::read(
                &disk,
                entry,
                NamespaceKind::Disk(instance),
            )?),
        }
    }
    paths.shrink_to_fit();
    let controller = controller::read(directory, addresses, instance, paths)?;
    Ok(controller.map(|controller| (controller, disks)))
}
