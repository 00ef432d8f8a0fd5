//! The keys of a volume, for whoever connects its controllers again: one file beside its record,
//! one line `name=key` for each.
//!
//! Invariant: only root can read the file, and the keys are in no buffer but the caller's.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::volume::request::Secrets;

/// Writes the keys to a new file.
pub(super) fn write(path: &Path, secrets: &Secrets) -> io::Result<()> {
    let mut file = create(path)?;
    let named = [
        ("dhchap_secret", &secrets.dhchap_secret),
        ("dhchap_ctrl_secret", &secrets.dhchap_ctrl_secret),
    ];
    for (name, secret) in named {
        if let Some(secret) = secret {
            writeln!(file, "{name}={}", secret.expose())?;
        }
    }
    file.sync_all()
}

/// A file that only root can read; a leftover of a killed process is overwritten.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

/// Whether there is anything to be kept.
pub(super) fn is_empty(secrets: &Secrets) -> bool {
    secrets.dhchap_secret.is_none() && secrets.dhchap_ctrl_secret.is_none()
}
