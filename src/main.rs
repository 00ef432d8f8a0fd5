//! The program `nvmeof-csi`: arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use nvmeof_csi::cli;
use nvmeof_csi::config::CommandLine;

fn main() -> ExitCode {
    cli::run(CommandLine::parse()).into()
}
