//! `cargo lab kernels`: which kernels are ready.

use std::io::{self, Write as _};
use std::process::ExitCode;

use kernel_lab::{Suite, kernels, modules};

use super::{Outcome, chain};

/// List the kernels that are ready, and the modules that they do not have
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments) -> Outcome {
    let mut out = io::stdout().lock();
    for suite in Suite::ALL {
        match kernels::find(suite) {
            Ok(kernel) => {
                let absent = modules::select(&kernel.modules)?.absent;
                writeln!(
                    out,
                    "{suite}: {} {} absent modules: {absent:?}",
                    kernel.release,
                    kernel.image.display()
                )?;
            }
            Err(error) => writeln!(out, "{suite}: {}", chain(&error))?,
        }
    }
    Ok(ExitCode::SUCCESS)
}
