//! `gen-dhchap-key`: a new DH-HMAC-CHAP secret, on standard output and nowhere else.
//!
//! The hash in a secret only says how host and controller transform it before they use it, the host's name included: what
//! stands in it is random whatever the hash. nvme-cli before 3.0 put a transformed key there instead.

use std::io::{self, Write};

use nvme_fabrics::{GenerateSecretError, Secret, SecretHash};
use serde::Serialize;

use super::command::Command;
use super::exit::{Exit, Failure};
use super::output::{Format, Output, Report, write_json};
use crate::config::Config;

/// Arguments of `gen-dhchap-key`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Hash that transforms the secret: 0 (none), 1 (SHA-256), 2 (SHA-384) or 3 (SHA-512)
    #[arg(long, short = 'm', value_name = "HASH", default_value = "0", value_parser = parse_hash)]
    hmac: SecretHash,

    /// Bytes of the key: 32, 48 or 64 [default: what the hash wants, 32 without one]
    #[arg(long, short = 'l', value_name = "BYTES")]
    key_length: Option<usize>,

    /// NQN of the host; makes no difference, and is taken because nvme-cli takes it
    #[arg(long, short = 'n', value_name = "NQN")]
    nqn: Option<String>,

    #[command(flatten)]
    output: Output,
}

fn parse_hash(text: &str) -> Result<SecretHash, String> {
    let number = text.parse().ok();
    let hash = number.and_then(|number: usize| SecretHash::ALL.get(number));
    hash.copied()
        .ok_or_else(|| "must be 0, 1, 2 or 3".to_owned())
}

/// What to make.
#[derive(Debug)]
pub struct Options {
    hash: SecretHash,
    bytes: usize,
}

/// The secret.
#[derive(Debug)]
pub struct Generated(Secret);

#[derive(Serialize)]
struct Form<'a> {
    secret: &'a str,
}

impl Failure for GenerateSecretError {
    fn exit(&self) -> Exit {
        match self {
            GenerateSecretError::Length(_) => Exit::WrongUse,
            GenerateSecretError::Random(_) => Exit::Failed,
        }
    }
}

impl Command for Arguments {
    type Options = Options;
    type Report = Generated;
    type Failure = GenerateSecretError;

    fn format(&self) -> Format {
        self.output.format
    }

    fn options(self) -> Result<Options, GenerateSecretError> {
        if self.nqn.is_some() {
            tracing::warn!("--nqn makes no difference: the secret is not transformed");
        }
        let bytes = self.key_length.or(self.hmac.key_bytes()).unwrap_or(32);
        Ok(Options {
            hash: self.hmac,
            bytes,
        })
    }

    fn run(_: &Config, options: Options) -> Result<Generated, GenerateSecretError> {
        Secret::generate(options.hash, options.bytes).map(Generated)
    }
}

impl Report for Generated {
    fn write(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        let secret = self.0.expose();
        match format {
            Format::Human => writeln!(out, "{secret}"),
            Format::Json => write_json(&Form { secret }, out),
        }
    }
}
