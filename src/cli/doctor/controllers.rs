//! Controllers that do not carry what they were connected for.

use nvme_sysfs::{Controller, Tree};

use super::{Check, Status};

/// Controllers that are not live, and live ones without any namespace.
pub(super) fn check(tree: &Tree) -> [Check; 2] {
    [check_states(tree), check_orphans(tree)]
}

fn check_states(tree: &Tree) -> Check {
    const NAME: &str = "controllers";
    let not_live: Vec<_> = tree
        .controllers()
        .filter(|controller| !controller.is_live())
        .map(|controller| format!("{} is {}", describe(controller), controller.state))
        .collect();
    if not_live.is_empty() {
        let count = tree.controllers().count();
        return Check::ok(NAME, format!("all {count} controllers are live"));
    }
    Check::bad(
        NAME,
        Status::Warn,
        not_live.join("; "),
        "check the network and the target; the kernel's log says why it cannot reconnect (`dmesg`)",
    )
}

fn check_orphans(tree: &Tree) -> Check {
    const NAME: &str = "orphans";
    let orphans: Vec<_> = tree.orphans().map(describe).collect();
    if orphans.is_empty() {
        return Check::ok(NAME, "every live controller has a namespace");
    }
    Check::bad(
        NAME,
        Status::Warn,
        format!("live without any namespace: {}", orphans.join("; ")),
        "check that the target exports a namespace to this host; otherwise disconnect the \
            controller",
    )
}

fn describe(controller: &Controller) -> String {
    let nqn = controller
        .subsysnqn
        .as_ref()
        .map_or("a subsystem not known yet", |nqn| nqn.as_str());
    let Controller {
        instance,
        address_text,
        ..
    } = controller;
    format!("{instance} ({nqn} at {address_text})")
}
