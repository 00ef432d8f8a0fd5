//! The kernel lab's command line; as PID 1, the guest.

mod verb;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Real kernels in QEMU for the project's tests.
#[derive(Debug, Parser)]
#[command(name = "cargo lab", bin_name = "cargo lab")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Setup(verb::setup::Arguments),
    Kernels(verb::kernels::Arguments),
    Run(verb::run::Arguments),
}

fn main() -> ExitCode {
    if std::process::id() == 1 {
        kernel_lab::guest::main();
    }
    let result = match Arguments::parse().verb {
        Verb::Setup(arguments) => verb::setup::run(&arguments),
        Verb::Kernels(arguments) => verb::kernels::run(&arguments),
        Verb::Run(arguments) => verb::run::run(&arguments),
    };
    result.unwrap_or_else(|error| {
        eprintln!("lab: {}", verb::chain(error.as_ref()));
        ExitCode::FAILURE
    })
}
