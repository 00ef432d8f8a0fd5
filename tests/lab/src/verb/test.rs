//! `cargo lab test`: everything, with nothing ignored for lack of the lab.

use std::process::ExitCode;

use kernel_lab::peers;

use super::{Outcome, cargo, setup};

/// Set up, then run all tests of the workspace; a test that lacks the lab fails
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// bookworm, trixie, sid, with commas between them, or all; LAB_KERNELS or trixie when not given
    #[arg(long)]
    kernels: Option<String>,
    /// Arguments for `cargo test`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    cargo: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let suites = setup::suites(arguments.kernels.as_deref())?;
    setup::prepare(&suites)?;
    // A test compares what the program prints with what nvme-cli prints.
    peers::get_nvme_cli()?;
    let names = suites
        .iter()
        .map(|suite| suite.as_str())
        .collect::<Vec<_>>()
        .join(",");
    let status = cargo()
        .args(["test", "--workspace"])
        .args(&arguments.cargo)
        .env("LAB_KERNELS", names)
        .env("LAB_REQUIRED", "1")
        .status()?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
