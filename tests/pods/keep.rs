//! A cluster for people: it runs until they have seen enough.

use std::io::{self, Read};
use std::process::ExitCode;

use kernel_lab::qemu::ConsoleOutput;

use crate::cluster::Cluster;
use crate::host::chain;
use crate::lab::{Lab, Parts};

/// The argument that makes this binary leave a cluster running.
pub(crate) const KEEP: &str = "--keep";

/// Boots, installs the driver, tells how to reach the cluster, and waits for the end of standard input.
pub(crate) fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let lab = Lab::new(Parts::find()?).map_err(|error| chain(error.as_ref()))?;
    let cluster = Cluster::start(&lab, ConsoleOutput::LogOnly).map_err(|error| chain(&error))?;
    cluster.wait_for_the_node();
    cluster.install();
    for report in cluster.take_reports() {
        eprintln!("lab: {report}");
    }
    let kubectl = cluster.machine.kubectl();
    eprintln!(
        "lab: export KUBECONFIG={}\nlab: alias kubectl={}\nlab: the end of standard input (or enter) ends the cluster",
        lab.kubeconfig().display(),
        kubectl.get_program().to_string_lossy()
    );
    let read = io::stdin().read(&mut [0]);
    read.map(drop).map_err(|error| error.to_string())
}
