//! `cargo lab setup`: packages and kernels.

use std::process::ExitCode;

use kernel_lab::{Suite, kernels, setup};

use super::Outcome;

/// Install what the lab needs (as root; else the command is printed) and get the kernels
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// bookworm, trixie, sid, with commas between them, or all; LAB_KERNELS or trixie when not given
    #[arg(long)]
    kernels: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let suites = suites(arguments.kernels.as_deref())?;
    setup::install_packages()?;
    for suite in suites {
        let kernel = kernels::get(suite)?;
        eprintln!(
            "lab: {suite}: {} in {}",
            kernel.release,
            kernel.image.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// The suites of a `--kernels` argument.
pub(crate) fn suites(
    argument: Option<&str>,
) -> Result<Vec<Suite>, kernel_lab::suite::UnknownSuite> {
    match argument {
        Some(list) => Suite::parse_list(list),
        None => Suite::chosen(),
    }
}
