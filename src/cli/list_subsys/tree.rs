//! The form for people: a tree with disks, sizes, the state of each path, and the volumes on them.

use std::io::{self, Write};

use nvme_sysfs::{Controller, Namespace, NamespaceKind, Subsystem, Tree};

use crate::cli::device::human_size;
use crate::cli::disk::identifiers;
use crate::cli::line::write_line;
use crate::cli::volume_line::describe_hold;
use crate::volume::{HealthEntry, Surveyed};

/// Every subsystem with its controllers, its disks, their paths and their volumes.
pub(super) fn write_tree(tree: &Tree, volumes: &[Surveyed], out: &mut dyn Write) -> io::Result<()> {
    if tree.subsystems.is_empty() && tree.unattached.is_empty() && volumes.is_empty() {
        return write_line(out, format_args!("no NVMe subsystems"));
    }
    for subsystem in &tree.subsystems {
        write_subsystem(subsystem, volumes, out)?;
    }
    if !tree.unattached.is_empty() {
        write_line(
            out,
            format_args!("controllers that have not identified themselves yet"),
        )?;
    }
    for controller in &tree.unattached {
        write_controller(controller, out)?;
    }
    let has_subsystem = |volume: &&Surveyed| tree.find_subsystems(&volume.nqn).next().is_some();
    for volume in volumes.iter().filter(|volume| !has_subsystem(volume)) {
        write_line(out, format_args!("no subsystem {}", volume.nqn))?;
        write_volume(volume, "  ", out)?;
    }
    Ok(())
}

fn write_subsystem(
    subsystem: &Subsystem,
    volumes: &[Surveyed],
    out: &mut dyn Write,
) -> io::Result<()> {
    write_line(
        out,
        format_args!("{} {}", subsystem.name, subsystem.nqn_text),
    )?;
    for controller in &subsystem.controllers {
        write_controller(controller, out)?;
    }
    for namespace in &subsystem.namespaces {
        write_namespace(subsystem, namespace, out)?;
        for volume in volumes
            .iter()
            .filter(|volume| is_on(volume, subsystem, namespace))
        {
            write_volume(volume, "    ", out)?;
        }
    }
    let is_anywhere = |volume: &&Surveyed| {
        let mut namespaces = subsystem.namespaces.iter();
        namespaces.any(|namespace| is_on(volume, subsystem, namespace))
    };
    let of_subsystem = |volume: &&Surveyed| subsystem.nqn.as_ref() == Some(&volume.nqn);
    let elsewhere = volumes
        .iter()
        .filter(of_subsystem)
        .filter(|volume| !is_anywhere(volume));
    for volume in elsewhere {
        write_volume(volume, "  ", out)?;
    }
    Ok(())
}

fn is_on(volume: &Surveyed, subsystem: &Subsystem, namespace: &Namespace) -> bool {
    subsystem.nqn.as_ref() == Some(&volume.nqn) && volume.disk.as_ref() == Some(&namespace.name)
}

/// How the volume is held, and what is wrong with it.
fn write_volume(volume: &Surveyed, indent: &str, out: &mut dyn Write) -> io::Result<()> {
    let hold = describe_hold(volume);
    write_line(
        out,
        format_args!("{indent}volume {} {hold}", volume.volume_id),
    )?;
    for HealthEntry {
        reason, message, ..
    } in &volume.findings
    {
        write_line(
            out,
            format_args!("{indent}  {}: {message}", reason.as_str()),
        )?;
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
    write_line(
        out,
        format_args!("  {name} {size}{}", identifiers(identity)),
    )?;
    match namespace.kind {
        NamespaceKind::Disk(owner) => {
            let mut controllers = subsystem.controllers.iter();
            let owner_of = controllers.find(|it| it.instance == owner);
            let down = owner_of.map(down).unwrap_or_default();
            write_line(out, format_args!("    via {owner}{down}"))
        }
        NamespaceKind::Head => write_paths(subsystem, namespace, out),
    }
}

/// What stands behind a path through a controller that is not live, whatever the target said while it was.
fn down(controller: &Controller) -> String {
    match controller.is_live() {
        true => String::new(),
        false => format!(" down, {}", controller.state),
    }
}

fn write_paths(
    subsystem: &Subsystem,
    namespace: &Namespace,
    out: &mut dyn Write,
) -> io::Result<()> {
    let controllers = subsystem.controllers.iter();
    let paths = controllers.flat_map(|controller| {
        let paths = controller.paths.iter();
        paths.map(move |path| (controller, path))
    });
    let mut paths = paths
        .filter(|(_, path)| path.head == namespace.name)
        .peekable();
    if paths.peek().is_none() {
        return write_line(out, format_args!("    no path"));
    }
    for (controller, path) in paths {
        let instance = controller.instance;
        if !controller.is_live() {
            let down = down(controller);
            write_line(out, format_args!("    via {instance}{down}"))?;
            continue;
        }
        // Without ANA the target makes no difference between paths.
        let ana = path.ana_state.as_ref().map_or("-", |state| state.as_str());
        write_line(out, format_args!("    via {instance} {ana}"))?;
    }
    Ok(())
}
