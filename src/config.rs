//! The options of every verb, and the settings that come out of them.
//!
//! Invariant: a [`Config`] is usable as it stands; what the options of one verb mean is checked by
//! that verb before it does anything.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};
use thiserror::Error;
use tracing::level_filters::LevelFilter;

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
