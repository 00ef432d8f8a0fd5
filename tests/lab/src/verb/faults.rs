//! `cargo lab faults`: what happens to volumes when their targets fail, on every kernel.

use std::process::ExitCode;

use super::{Outcome, cargo, setup};

/// Set up, then run every row of the table of faults and print its figures
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// bookworm, trixie, sid, with commas between them, or all
    #[arg(long, default_value = "all")]
    kernels: String,
    /// Only rows whose names contain this
    #[arg(default_value = "row_")]
    rows: String,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let suites = setup::suites(Some(&arguments.kernels))?;
    setup::prepare(&suites)?;
    let names = suites
        .iter()
        .map(|suite| suite.as_str())
        .collect::<Vec<_>>()
        .join(",");
    let status = cargo()
        .args(["test", "--package", "nvmeof-csi", "--test", "kernel", "--"])
        .arg(&arguments.rows)
        .env("LAB_KERNELS", &names)
        .env("LAB_REQUIRED", "1")
        .env("LAB_FAULTS", names)
        .status()?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
