//! `cargo lab cluster`: a real Kubernetes in a guest with the driver installed, for people or for the cases.

use std::process::ExitCode;

use kernel_lab::Suite;
use kernel_lab::cluster::peers::Peers;

use super::{Outcome, cargo, image_packages, setup};

/// Set up, then boot a Kubernetes of one node with the driver installed, or run what is tested on it
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Leave it running until enter is pressed, and say where its kubeconfig is
    #[arg(long)]
    keep: bool,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Run the cases on it; all of them by default
    Test {
        /// Only cases whose names contain this
        filter: Option<String>,
    },
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    setup::prepare(&[Suite::Trixie])?;
    Peers::get()?;
    image_packages::get()?;
    eprintln!(
        "lab: building the tests: some minutes where nothing was built before; a cluster is up some minutes later"
    );
    let mut tests = cargo();
    tests.args(["test", "--package", "nvmeof-csi", "--test", "pods", "--"]);
    match (&arguments.what, arguments.keep) {
        (Some(What::Test { filter }), _) => tests.args(filter),
        (None, true) => tests.arg("--keep"),
        (None, false) => tests.arg("kubelet_registers_the_driver"),
    };
    let status = tests
        .env("LAB_CLUSTER", "all")
        .env("LAB_REQUIRED", "1")
        .status()?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
