//! The kernel lab's command line; as PID 1, the guest.

#![expect(clippy::disallowed_methods, reason = "the lab runs cargo")]

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
    Capture(verb::capture::Arguments),
    Test(verb::test::Arguments),
    Faults(verb::faults::Arguments),
    Demo(verb::demo::Arguments),
    Cluster(verb::cluster::Arguments),
}

fn main() -> ExitCode {
    if std::process::id() == 1 {
        kernel_lab::guest::main();
    }
    let result = match Arguments::parse().verb {
        Verb::Setup(arguments) => verb::setup::run(&arguments),
        Verb::Kernels(arguments) => verb::kernels::run(&arguments),
        Verb::Run(arguments) => verb::run::run(&arguments),
        Verb::Capture(arguments) => verb::capture::run(&arguments),
        Verb::Test(arguments) => verb::test::run(&arguments),
        Verb::Faults(arguments) => verb::faults::run(&arguments),
        Verb::Demo(arguments) => verb::demo::run(&arguments),
        Verb::Cluster(arguments) => verb::cluster::run(&arguments),
    };
    result.unwrap_or_else(|error| {
        eprintln!("lab: {}", verb::chain(error.as_ref()));
        ExitCode::FAILURE
    })
}
