//! `check-dhchap-key`: whether a DH-HMAC-CHAP secret is one that the kernel takes; nothing of it is shown.

use std::io::{self, Write};

use nvme_fabrics::Secret;
use serde::Serialize;

use super::command::Command;
use super::connect::SecretError;
use super::connect::secret::SecretArgument;
use super::exit::{Exit, Failure};
use super::line::write_line;
use super::output::{Format, Output, Report, write_json};
use crate::config::Config;

/// Arguments of `check-dhchap-key`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// File with the secret; the secret itself (DHHC-1:…) is taken with a warning
    #[arg(long, short = 'k', alias = "key", value_name = "FILE")]
    key_file: SecretArgument,

    #[command(flatten)]
    output: Output,
}

/// What the secret says of itself.
#[derive(Debug, Serialize)]
pub struct Checked {
    hash: &'static str,
    bytes: usize,
}

impl Failure for SecretError {
    fn exit(&self) -> Exit {
        Exit::Failed
    }
}

impl Command for Arguments {
    type Options = Secret;
    type Report = Checked;
    type Failure = SecretError;

    fn format(&self) -> Format {
        self.output.format
    }

    fn options(self) -> Result<Secret, SecretError> {
        self.key_file.read()
    }

    fn run(_: &Config, secret: Secret) -> Result<Checked, SecretError> {
        Ok(Checked {
            hash: secret.hash().as_str(),
            bytes: secret.key_bytes(),
        })
    }
}

impl Report for Checked {
    fn write(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        let Checked { hash, bytes } = self;
        match format {
            Format::Human => write_line(out, format_args!("valid: {bytes} bytes, hash {hash}")),
            Format::Json => write_json(self, out),
        }
    }
}
