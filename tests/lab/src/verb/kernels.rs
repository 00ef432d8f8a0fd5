//! `cargo lab kernels`: which kernels are ready.

use std::io::{self, Write as _};
use std::process::ExitCode;

use kernel_lab::modules::{self, Absent};
use kernel_lab::{Suite, kernels};

use super::{Outcome, chain};

/// List the kernels that are ready, and the modules that they do not have
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments) -> Outcome {
    let mut out = io::stdout().lock();
    for suite in Suite::ALL {
        match kernels::find(suite) {
            Ok(kernel) => {
                writeln!(
                    out,
                    "{suite}: Linux {} {}",
                    kernel.release,
                    kernel.image.display()
                )?;
                for absent in modules::select(&kernel.modules)?.absent {
                    match absent {
                        Absent::BuiltIn(name) => writeln!(out, "    {name} is built in")?,
                        Absent::Missing(name) => writeln!(out, "    {name} is missing")?,
                    }
                }
            }
            Err(error) => writeln!(out, "{suite}: {}", chain(&error))?,
        }
    }
    Ok(ExitCode::SUCCESS)
}
