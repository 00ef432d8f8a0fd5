//! Which disks a disconnect would take away.
//!
//! Invariant: pure. A path counts only while I/O can go through it, unless no path of the disk is
//! that good: then each counts, because the kernel holds I/O for any of them to come back.

use nvme_sysfs::{Controller, Instance, Namespace, NamespaceKind, NamespacePath, Tree, Unknown};

/// The disks of `tree` that lose their last path when the controllers in `leaving` go.
pub fn find_disks_losing_last_path<'a>(
    tree: &'a Tree,
    leaving: &[Instance],
) -> impl Iterator<Item = &'a Namespace> {
    tree.namespaces()
        .filter(move |namespace| loses_last_path(tree, namespace, leaving))
}

fn loses_last_path(tree: &Tree, namespace: &Namespace, leaving: &[Instance]) -> bool {
    if let NamespaceKind::Disk(owner) = namespace.kind {
        return leaving.contains(&owner);
    }
    if may_carry_unseen(tree, namespace, leaving) {
        return true;
    }
    let usable: Vec<_> = tree.paths_of(namespace).filter(is_usable).collect();
    let counted = if usable.is_empty() {
        tree.paths_of(namespace).collect()
    } else {
        usable
    };
    // A head without any path is not taken away by this disconnect: it is gone already.
    !counted.is_empty()
        && counted
            .iter()
            .all(|(controller, _)| leaving.contains(&controller.instance))
}

/// Whether a leaving controller of the disk's subsystem could not be read to the end, so that its path may be missing here.
fn may_carry_unseen(tree: &Tree, namespace: &Namespace, leaving: &[Instance]) -> bool {
    let mut subsystems = tree.subsystems.iter();
    let own = subsystems.find(|subsystem| subsystem.namespaces.contains(namespace));
    own.is_some_and(|own| {
        let mut going = own.controllers.iter();
        going.any(|it| leaving.contains(&it.instance) && it.unknown.iter().any(Unknown::matters))
    })
}

fn is_usable((controller, path): &(&Controller, &NamespacePath)) -> bool {
    controller.is_live() && path.is_accessible()
}
