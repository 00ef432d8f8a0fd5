//! The command line: what it may say, and the settings that come out of it for every verb.
//!
//! Invariant: a [`Config`] is usable as it stands; what the options of one verb mean is checked by
//! that verb before it does anything.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use thiserror::Error;
use tracing::level_filters::LevelFilter;

use crate::cli;
use crate::cli::exit::{Exit, Failure};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "nvmeof-csi",
    version,
    about = "NVMe over Fabrics volumes on Linux, by the kernel's own interfaces",
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong use, 3 not found, 4 timed out, 5 refused \
        because data could be lost."
)]
pub struct CommandLine {
    /// Options of every verb.
    #[command(flatten)]
    pub global: GlobalArguments,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options that every verb takes, before or after its name.
#[derive(Debug, Args)]
pub struct GlobalArguments {
    /// Directory below which /sys, /dev, /proc, /etc/nvme and /run are taken
    // The machine itself unless told otherwise: a container mounts the host elsewhere, and tests
    // use captured trees.
    #[arg(
        long,
        global = true,
        env = "NVMEOF_ROOT",
        default_value = "/",
        value_name = "DIR"
    )]
    root: PathBuf,

    /// Form of the log lines on standard error
    // Text, because a person types these commands; a collector asks for JSON.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    log_format: LogFormat,

    /// Log more: once what is done, twice details, three times everything
    // Only warnings by default: the result is on standard output, and a log line then means
    // something.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Connect to a subsystem; success if it is connected already
    Connect(Box<cli::connect::Arguments>),
    /// Disconnect a subsystem or one controller; success if there is nothing to disconnect
    Disconnect(cli::disconnect::Arguments),
    /// Ask a discovery controller what there is to connect to, and connect it if wanted
    Discover(Box<cli::discover::Arguments>),
    /// List subsystems with their controllers and namespaces
    ListSubsys(cli::list_subsys::Arguments),
    /// Print the device of a namespace
    Resolve(cli::resolve::Arguments),
    /// Check this machine and say what to do about each finding
    Doctor(cli::doctor::Arguments),
    /// Let go of I/O that waits for a lost target, for the shutdown of a node
    Release(cli::release::Arguments),
    /// Serve the volumes of this node to kubelet (CSI node plugin)
    Node(cli::node::Arguments),
    /// Say which node may have which volume, for the attacher beside it (CSI controller plugin)
    Controller(cli::controller::Arguments),
}

impl GlobalArguments {
    /// The form of the log lines, which is known before anything else is.
    pub(crate) fn log_format(&self) -> LogFormat {
        self.log_format
    }

    /// The least important log line that is written.
    pub(crate) fn log_level(&self) -> LevelFilter {
        match self.verbose {
            0 => LevelFilter::WARN,
            1 => LevelFilter::INFO,
            2 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        }
    }
}

/// Settings of every verb, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Directory below which all kernel and configuration files are taken.
    pub root: PathBuf,
    /// Form of the log lines.
    pub log_format: LogFormat,
}

/// Why the options of every verb are unusable.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The root is not a directory.
    #[error("--root {}: not a directory", .0.display())]
    Root(PathBuf),
}

impl Failure for ConfigError {
    fn exit(&self) -> Exit {
        Exit::WrongUse
    }
}

impl TryFrom<GlobalArguments> for Config {
    type Error = ConfigError;

    fn try_from(arguments: GlobalArguments) -> Result<Config, ConfigError> {
        if !arguments.root.is_dir() {
            return Err(ConfigError::Root(arguments.root));
        }
        Ok(Config {
            log_format: arguments.log_format,
            root: arguments.root,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
