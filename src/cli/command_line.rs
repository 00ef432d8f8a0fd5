//! The command line: what it may say.

use clap::{Parser, Subcommand};

use super::{
    check_dhchap_key, connect, controller, disconnect, discover, doctor, gen_dhchap_key,
    gen_hostnqn, list, list_subsys, node, order, release, resolve, tune,
};
use crate::config::GlobalArguments;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "nvmeof-csi",
    version,
    about = "NVMe over Fabrics volumes on Linux, by the kernel's own interfaces",
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong use, 3 not found, 4 timed out, 5 refused \
        because data could be lost."
)]
pub struct CommandLine {
    /// Options of every verb.
    #[command(flatten)]
    pub global: GlobalArguments,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Connect to a subsystem; success if it is connected already
    Connect(Box<connect::Arguments>),
    /// Disconnect a subsystem or one controller; success if there is nothing to disconnect
    Disconnect(disconnect::Arguments),
    /// Ask a discovery controller what there is to connect to, and connect it if wanted
    Discover(Box<discover::Arguments>),
    /// List the NVMe disks of this host, local ones too
    List(list::Arguments),
    /// List subsystems with their controllers and namespaces
    ListSubsys(list_subsys::Arguments),
    /// Print the device of a namespace
    Resolve(resolve::Arguments),
    /// Ask the target of a controller for its namespaces and their sizes again
    Rescan(order::RescanArguments),
    /// End the I/O of a controller and connect it anew
    Reset(order::ResetArguments),
    /// Change what happens when a controller is lost, and how its paths share the I/O
    Tune(tune::Arguments),
    /// Print a host NQN for this machine, and store nothing
    GenHostnqn(gen_hostnqn::Arguments),
    /// Print a new DH-HMAC-CHAP secret, and store it nowhere
    GenDhchapKey(gen_dhchap_key::Arguments),
    /// Check a DH-HMAC-CHAP secret, and show nothing of it
    CheckDhchapKey(check_dhchap_key::Arguments),
    /// Check this machine and say what to do about each finding
    Doctor(doctor::Arguments),
    /// Let go of I/O that waits for a lost target, for the shutdown of a node
    Release(release::Arguments),
    /// Serve the volumes of this node to kubelet (CSI node plugin)
    Node(node::Arguments),
    /// Say which node may have which volume, for the attacher beside it (CSI controller plugin)
    Controller(controller::Arguments),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
