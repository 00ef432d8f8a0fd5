//! The command line's verbs, one file each.
//!
//! Every verb has the same three steps: options (the arguments, checked), run (talk to the
//! machine), print (the report). Nothing is printed on standard output but the report, and nothing
//! touches the machine before all options are known to be good.

pub mod check_dhchap_key;
mod command;
mod command_line;
pub mod connect;
pub mod controller;
pub mod device;
pub mod disconnect;
pub mod discover;
mod disk;
pub mod doctor;
pub mod exit;
mod failure;
mod failures;
pub mod gen_dhchap_key;
pub mod gen_hostnqn;
mod interrupt;
mod line;
pub mod list;
pub mod list_subsys;
pub mod node;
pub mod order;
pub mod output;
pub mod release;
mod request;
pub mod resolve;
mod secret_text;
pub mod service;
mod signals;
pub mod state_dir;
mod target;
pub mod tune;
mod unknown;
pub mod usage;
mod volume_line;

use std::io::{self, BufWriter, Write};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Config, GlobalArguments, LogFormat};
use command::Command;
pub use command_line::CommandLine;
use command_line::Verb;
use exit::{Exit, Failure};
use output::{Format, Report};

/// Does what the command line says, prints the result, and says how it went.
#[must_use]
pub fn run(command_line: CommandLine) -> Exit {
    let CommandLine { global, verb } = command_line;
    start_log(global.log_format(), global.log_level());
    match verb {
        Verb::Connect(arguments) => execute(global, *arguments),
        Verb::Disconnect(arguments) => execute(global, arguments),
        Verb::Discover(arguments) => execute(global, *arguments),
        Verb::List(arguments) => execute(global, arguments),
        Verb::ListSubsys(arguments) => execute(global, arguments),
        Verb::Rescan(arguments) => execute(global, arguments),
        Verb::Reset(arguments) => execute(global, arguments),
        Verb::Tune(arguments) => execute(global, arguments),
        Verb::GenHostnqn(arguments) => execute(global, arguments),
        Verb::GenDhchapKey(arguments) => execute(global, arguments),
        Verb::CheckDhchapKey(arguments) => execute(global, arguments),
        Verb::Resolve(arguments) => execute(global, arguments),
        Verb::Doctor(arguments) => execute(global, arguments),
        Verb::Release(arguments) => execute(global, arguments),
        Verb::Node(arguments) => execute(global, arguments),
        Verb::Controller(arguments) => execute(global, arguments),
    }
}

fn execute<C: Command>(global: GlobalArguments, command: C) -> Exit {
    let (log, format) = (global.log_format(), command.format());
    let config = match Config::try_from(global) {
        Ok(config) => config,
        Err(error) => return fail(&error, log, format),
    };
    let result = command
        .options()
        .and_then(|options| C::run(&config, options));
    match result {
        Ok(report) => print(&report, format),
        Err(error) => fail(&error, log, format),
    }
}

fn print(report: &impl Report, format: Format) -> Exit {
    // Standard output alone would make one system call of each line.
    let mut out = BufWriter::new(io::stdout().lock());
    let written = report.write(format, &mut out).and_then(|()| out.flush());
    match written {
        Ok(()) => report.exit(),
        // Whoever read the output has gone (`… | head`): nobody is left to tell.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => report.exit(),
        Err(error) => {
            tracing::error!(%error, "the result cannot be written");
            Exit::Failed
        }
    }
}

fn fail(failure: &dyn Failure, log: LogFormat, output: Format) -> Exit {
    failure::report(failure, log, output);
    failure.exit()
}

/// The crates whose details `-v` asks for.
const OURS: [&str; 3] = ["nvmeof_csi", "nvme_fabrics", "nvme_sysfs"];

fn start_log(format: LogFormat, level: LevelFilter) {
    let log = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(level)
        // It would tell of a closed standard error by `eprintln!`, which panics then.
        .log_internal_errors(false)
        .with_ansi(false);
    // The libraries tell of frames and connections in detail; nobody asks for that here.
    let ours = Targets::new()
        .with_targets(OURS.map(|name| (name, level)))
        .with_default(level.min(LevelFilter::WARN));
    match format {
        LogFormat::Text => log.finish().with(ours).init(),
        LogFormat::Json => log.json().finish().with(ours).init(),
    }
}
