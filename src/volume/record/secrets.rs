//! The keys of a volume, for whoever connects its controllers again: one file beside its record,
//! one line `name=key` for each.
//!
//! Invariant: only root can read the file, and the keys are in no buffer but the caller's.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use zeroize::Zeroizing;

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

/// Reads the keys of a file; none where there is no file.
pub(super) fn read(path: &Path) -> io::Result<Secrets> {
    let bytes = match fs::read(path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Secrets::default()),
        Err(error) => return Err(error),
    };
    // What is wrong is not told: it could be a part of a key.
    parse(&bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn parse(bytes: &[u8]) -> Option<Secrets> {
    let mut secrets = Secrets::default();
    for line in std::str::from_utf8(bytes).ok()?.lines() {
        let (name, key) = line.split_once('=')?;
        let secret = Some(key.parse().ok()?);
        match name {
            "dhchap_secret" => secrets.dhchap_secret = secret,
            "dhchap_ctrl_secret" => secrets.dhchap_ctrl_secret = secret,
            _ => return None,
        }
    }
    Some(secrets)
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

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:";

    #[test]
    fn what_is_written_is_read_and_garbage_is_an_error_that_tells_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("secrets");
        assert_eq!(read(&path).expect("no file"), Secrets::default());
        let secrets = Secrets {
            dhchap_secret: Some(KEY.parse().expect("a key")),
            dhchap_ctrl_secret: None,
        };
        write(&path, &secrets).expect("written");
        assert_eq!(read(&path).expect("readable"), secrets);
        for text in [
            "dhchap_secret",
            "other=x",
            &format!("dhchap_secret={}x", KEY),
        ] {
            fs::write(&path, text).expect("a file");
            let error = read(&path).expect_err("garbage").to_string();
            assert!(!error.contains("DHHC"), "{error}");
        }
    }
}
