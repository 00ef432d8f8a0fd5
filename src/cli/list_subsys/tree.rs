//! The form for people: a tree with disks, sizes and the state of each path.

use std::io::{self, Write};

use nvme_sysfs::{Controller, Namespace, NamespaceKind, Subsystem, Tree};

use crate::cli::device::human_size;
use crate::cli::line::write_line;

/// Every subsystem with its controllers, its disks and their paths.
pub(super) fn write_tree(tree: &Tree, out: &mut dyn Write) -> io::Result<()> {
    if tree.subsystems.is_empty() && tree.unattached.is_empty() {
        return write_line(out, format_args!("no NVMe subsystems"));
    }
    for subsystem in &tree.subsystems {
        write_subsystem(subsystem, out)?;
    }
    if !tree.unattached.is_empty() {
        write_line(
            out,
            format_args!("controllers that have not identified themselves yet"),
        )?;
    }
    tree.unattached
        .iter()
        .try_for_each(|controller| write_controller(controller, out))
}

fn write_subsystem(subsystem: &Subsystem, out: &mut dyn Write) -> io::Result<()> {
    write_line(
        out,
        format_args!("{} {}", subsystem.name, subsystem.nqn_text),
    )?;
    for controller in &subsystem.controllers {
        write_controller(controller, out)?;
    }
    for namespace in &subsystem.namespaces {
        write_namespace(subsystem, namespace, out)?;
    }
    Ok(())
}

fn write_controller(controller: &Controller, out: &mut dyn Write) -> io::Result<()> {
    let Controller {
        instance,
        transport,
        address_text,
        state,
        ..
    } = controller;
    let separator = if address_text.is_empty() { "" } else { " " };
    write_line(
        out,
        format_args!("  {instance} {transport}{separator}{address_text} {state}"),
    )
}

fn write_namespace(
    subsystem: &Subsystem,
    namespace: &Namespace,
    out: &mut dyn Write,
) -> io::Result<()> {
    let (name, identity) = (&namespace.name, &namespace.identity);
    let size = human_size(namespace.size_bytes);
    let nsid = identity.nsid.map(|nsid| format!(" nsid {}", nsid.get()));
    let uuid = identity.uuid.map(|uuid| format!(" uuid {uuid}"));
    let (nsid, uuid) = (nsid.unwrap_or_default(), uuid.unwrap_or_default());
    write_line(out, format_args!("  {name} {size}{nsid}{uuid}"))?;
    match namespace.kind {
        NamespaceKind::Disk(owner) => write_line(out, format_args!("    via {owner}")),
        NamespaceKind::Head => write_paths(subsystem, namespace, out),
    }
}

fn write_paths(
    subsystem: &Subsystem,
    namespace: &Namespace,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut paths = subsystem
        .controllers
        .iter()
        .flat_map(|controller| &controller.paths)
        .filter(|path| path.head == namespace.name)
        .peekable();
    if paths.peek().is_none() {
        return write_line(out, format_args!("    no path"));
    }
    for path in paths {
        // Without ANA the target makes no difference between paths.
        let ana = path.ana_state.as_ref().map_or("-", |state| state.as_str());
        write_line(out, format_args!("    via {} {ana}", path.controller))?;
    }
    Ok(())
}
