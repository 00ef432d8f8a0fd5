//! `cargo demo`: volumes that survive cut cables and restarted targets, as a timed story on the terminal.

use std::process::ExitCode;

use kernel_lab::Suite;

use super::{Outcome, cargo, setup};

/// Show volumes that survive what happens to their targets, on trixie's kernel (sets up what it needs)
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments) -> Outcome {
    setup::prepare(&[Suite::Trixie])?;
    eprintln!(
        "lab: building nvmeof-csi and the story: some minutes where nothing was built before, else seconds"
    );
    let test = ["test", "--package", "kernel-cases", "--test", "kernel"];
    let status = cargo().args(test).args(["--", "--demo"]).status()?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
