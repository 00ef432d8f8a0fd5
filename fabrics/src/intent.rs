//! What is about to be connected: `/run/nvme/nvmeof-csi-connecting/`, one file per connect that is
//! under way.
//!
//! A process that is killed after the kernel has made its controller, and before the registry says
//! whose it is, would leave a controller that nobody ever disconnects. So the intent is written first
//! and locked for as long as its process lives. Whoever then finds the controller without an owner,
//! and the intent without its process, knows that it was ours.
//!
//! Invariant: an intent whose process lives is never taken; `/run` does not survive a boot, and so do
//! no intents.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::options::ConnectOptions;

/// An intent of this process; it is over when this is dropped.
#[derive(Debug)]
pub(crate) struct Intent {
    path: PathBuf,
    /// Holds the lock.
    _file: File,
}

impl Intent {
    /// Writes down that this is going to be connected.
    pub(crate) fn declare(root: &Path, options: &ConnectOptions) -> io::Result<Intent> {
        let path = path(root, options);
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        // Without truncation: it may be locked by another process that connects the same.
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        file.set_len(0)?;
        file.write_all(text(options).as_bytes())?;
        Ok(Intent { path, _file: file })
    }

    /// Takes the intent of a process that is gone, if there is one to connect this very thing.
    pub(crate) fn take_over(root: &Path, options: &ConnectOptions) -> io::Result<Option<Intent>> {
        let path = path(root, options);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            // Its process is at it.
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
        let same = fs::read_to_string(&path)? == text(options);
        Ok(same.then_some(Intent { path, _file: file }))
    }
}

impl Drop for Intent {
    fn drop(&mut self) {
        // One that stays says something wrong only if a controller without an owner appears there.
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != ErrorKind::NotFound
        {
            let path = self.path.display();
            tracing::warn!(%path, %error, "cannot remove the note of a connect that is over");
        }
    }
}

fn path(root: &Path, options: &ConnectOptions) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    text(options).hash(&mut hasher);
    let directory = root.join("run/nvme/nvmeof-csi-connecting");
    directory.join(format!("{:016x}", hasher.finish()))
}

/// What the kernel compares to tell one controller from another (`nvmf_ip_options_match`).
fn text(options: &ConnectOptions) -> String {
    let address = options.address();
    let parts = [
        Some(options.nqn().to_string()),
        Some(options.transport().to_string()),
        options.hostnqn().map(ToString::to_string),
        options.hostid().map(|id| id.to_string()),
        address.traddr.clone(),
        address.trsvcid.clone(),
        address.host_traddr.clone(),
        address.host_iface.clone(),
    ];
    let lines = parts.map(|part| part.unwrap_or_default() + "\n");
    lines.concat()
}

#[cfg(test)]
mod tests {
    use nvme_sysfs::Transport;

    use super::*;
    use crate::fixture;

    fn options(traddr: &str) -> ConnectOptions {
        let mut builder = fixture::options(Transport::Tcp);
        builder.traddr(traddr).build().expect("valid options")
    }

    #[test]
    fn an_intent_whose_process_lives_is_not_taken_and_one_that_is_over_is_gone() {
        let root = tempfile::tempdir().expect("a directory");
        let options = options("10.0.0.2");
        let taken = || Intent::take_over(root.path(), &options).expect("readable");
        assert!(taken().is_none(), "there is none");
        let intent = Intent::declare(root.path(), &options).expect("writable");
        assert!(taken().is_none(), "this process holds it");
        drop(intent);
        assert!(taken().is_none(), "it is over");
    }

    #[test]
    fn an_intent_that_a_killed_process_left_is_taken_for_the_same_connect_only() {
        let root = tempfile::tempdir().expect("a directory");
        let ours = options("10.0.0.2");
        let intent = Intent::declare(root.path(), &ours).expect("writable");
        let left = fs::read(&intent.path).expect("a file");
        let path = intent.path.clone();
        drop(intent);
        fs::write(&path, left).expect("a file without a lock");
        let other = Intent::take_over(root.path(), &options("10.0.0.3"));
        assert!(other.expect("readable").is_none());
        let taken = Intent::take_over(root.path(), &ours).expect("readable");
        drop(taken.expect("the killed process's"));
        assert!(!path.exists());
    }
}
