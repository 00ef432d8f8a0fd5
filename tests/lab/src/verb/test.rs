//! `cargo lab test`: everything, with nothing ignored for lack of the lab.

use std::process::ExitCode;

use kernel_lab::cluster::peers::Peers;
use kernel_lab::{DebianHost, Suite, kubelet, peers, published, sanity};

use super::{Outcome, cargo, changed, image_packages, setup};

/// Set up, then run all tests of the workspace; a test that lacks the lab fails
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// bookworm, trixie, sid, with commas between them, or all; LAB_KERNELS or trixie when not given
    #[arg(long)]
    kernels: Option<String>,
    /// Only the tests that a change touches: what differs from HEAD, or from another revision, committed or not
    #[arg(long, value_name = "REVISION", num_args = 0..=1, require_equals = true, default_missing_value = "HEAD")]
    changed: Option<String>,
    /// Arguments for `cargo test`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    cargo: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let suites = setup::suites(arguments.kernels.as_deref())?;
    setup::prepare(&suites)?;
    // Tests compare what the program prints with what nvme-cli prints, run the conformance suite, run a cluster, and have a
    // host with udev and LVM.
    peers::get_nvme_cli()?;
    DebianHost::get()?;
    sanity::get()?;
    published::CSI.get()?;
    published::REGISTRATION.get()?;
    kubelet::get()?;
    Peers::get()?;
    image_packages::get()?;
    if let Some(since) = &arguments.changed {
        return changed::run(since, &suites, &arguments.cargo);
    }
    eprintln!(
        "lab: building all tests: a quarter of an hour on two cores where nothing was built before; then they run"
    );
    let status = cargo()
        .args(["test", "--workspace"])
        .args(&arguments.cargo)
        .env("LAB_KERNELS", Suite::list(&suites))
        .env("LAB_REQUIRED", "1")
        .env_remove("LAB_CASES")
        .status()?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
