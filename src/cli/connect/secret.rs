//! A secret on the command line: the file that holds it.
//!
//! nvme-cli takes the secret itself, and guides print it so. It is taken here as well, with a warning: every user of the
//! machine can read the arguments of a process. Invariant: no message shows it.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use nvme_fabrics::{ParseSecretError, ReadSecretError, Secret};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::cli::secret_text::find_secret;

/// Why there is no secret.
#[derive(Debug, Error)]
pub enum SecretError {
    /// It cannot be had from its file.
    #[error(transparent)]
    File(#[from] ReadSecretError),
    /// What was given is none.
    #[error(transparent)]
    Text(#[from] ParseSecretError),
}

/// A file, or the secret itself: whatever begins as one, in whichever spelling. Debug shows no secret.
#[derive(Clone)]
pub(in crate::cli) enum SecretArgument {
    File(PathBuf),
    Text(Zeroizing<String>),
}

impl SecretArgument {
    /// The secret.
    pub(in crate::cli) fn read(&self) -> Result<Secret, SecretError> {
        match self {
            SecretArgument::File(path) => Ok(Secret::from_file(path)?),
            SecretArgument::Text(text) => {
                tracing::warn!(
                    "a secret on the command line can be read by every user of the machine: give a file"
                );
                Ok(Secret::from_line(text)?)
            }
        }
    }
}

impl FromStr for SecretArgument {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<SecretArgument, Infallible> {
        Ok(match find_secret(text.trim_start()) == Some(0) {
            true => SecretArgument::Text(Zeroizing::new(text.to_owned())),
            false => SecretArgument::File(PathBuf::from(text)),
        })
    }
}

impl fmt::Debug for SecretArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretArgument::File(path) => path.fmt(f),
            SecretArgument::Text(_) => f.write_str("***"),
        }
    }
}
