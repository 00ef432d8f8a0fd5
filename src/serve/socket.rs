//! A listening Unix socket at a path that others know.
//!
//! It has the mode 0600 from its first moment, appears complete by a rename, replaces what a killed
//! process left, and never takes the place of one that still answers.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, fchmod};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::net::{bind, connect, listen, socket_with};
use thiserror::Error;

use crate::causes::chain;

/// Only root speaks to the plugin: whoever can call it can mount anything anywhere.
const MODE: Mode = Mode::from_raw_mode(0o600);

/// Connections that may wait to be accepted; kubelet opens one for each of its calls.
const BACKLOG: i32 = 128;

/// A socket that was bound here. Its file goes when this is dropped.
#[derive(Debug)]
pub(super) struct Socket {
    path: PathBuf,
    /// Device and inode of its file, by which it is known from one that replaced it.
    file: (u64, u64),
}

/// Why a socket cannot be had.
#[derive(Debug, Error)]
pub enum SocketError {
    /// A server answers there.
    #[error("{} is in use by a running server", .0.display())]
    InUse(PathBuf),
    /// Something else is there.
    #[error("{} exists and is no socket", .0.display())]
    NotASocket(PathBuf),
    /// The system call failed.
    #[error("{call} of {} failed", path.display())]
    Call {
        /// Which one.
        call: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Socket {
    /// Listens at `path`, whose directory is made if it is missing. Connections are accepted
    /// without blocking.
    pub(super) fn bind(path: &Path) -> Result<(Socket, UnixListener), SocketError> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(|error| at("mkdir", directory, error))?;
        }
        check_leftover(path)?;
        let new = new_name(path);
        remove(&new).map_err(|error| at("unlink", &new, error))?;
        let listener = listen_at(&new)?;
        let metadata = fs::symlink_metadata(&new).map_err(|error| at("lstat", &new, error))?;
        fs::rename(&new, path).map_err(|error| at("rename", path, error))?;
        let socket = Socket {
            path: path.to_owned(),
            file: (metadata.dev(), metadata.ino()),
        };
        Ok((socket, listener.into()))
    }

    /// Whether clients still find it: its file is the one at the path. What cannot be looked at counts
    /// as there.
    pub(super) fn is_there(&self) -> bool {
        match fs::symlink_metadata(&self.path) {
            Ok(found) => (found.dev(), found.ino()) == self.file,
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }

    /// Takes the file away, unless a later server has put its own there.
    fn remove(&self) -> Result<(), SocketError> {
        match fs::symlink_metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == self.file => {
                remove(&self.path).map_err(|error| at("unlink", &self.path, error))
            }
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(at("lstat", &self.path, error)),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            let error = chain(&error);
            tracing::warn!(error, "a socket stays behind; the next start replaces it");
        }
    }
}

/// The name under which the socket is made: beside its place, and beginning with a dot, because
/// kubelet leaves such files in its directory of plugins alone.
fn new_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.new"))
}

fn listen_at(path: &Path) -> Result<OwnedFd, SocketError> {
    let socket = open(path)?;
    let address = address(path)?;
    // The file gets the mode of its socket, less the umask (`unix_bind_bsd` in af_unix.c): there is
    // no moment in which others may connect.
    fchmod(&socket, MODE).map_err(|error| at("fchmod", path, error))?;
    bind(&socket, &address).map_err(|error| at("bind", path, error))?;
    listen(&socket, BACKLOG).map_err(|error| at("listen", path, error))?;
    Ok(socket)
}

/// Succeeds if nothing is at `path`, or the socket of a server that has ended.
fn check_leftover(path: &Path) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(at("lstat", path, error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(SocketError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match connect(open(path)?, &address(path)?) {
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(()),
        // EAGAIN: somebody listens, and more are waiting than it accepts.
        Ok(()) | Err(Errno::AGAIN) => Err(SocketError::InUse(path.to_owned())),
        Err(error) => Err(at("connect", path, error)),
    }
}

fn open(path: &Path) -> Result<OwnedFd, SocketError> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .map_err(|error| at("socket", path, error))
}

fn address(path: &Path) -> Result<SocketAddrUnix, SocketError> {
    SocketAddrUnix::new(path).map_err(|error| at("bind", path, error))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn at(call: &'static str, path: &Path, source: impl Into<io::Error>) -> SocketError {
    SocketError::Call {
        call,
        path: path.to_owned(),
        source: source.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_socket_is_for_its_owner_alone_and_leaves_no_other_file() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("plugins/csi.sock");
        let (socket, _listener) = Socket::bind(&path).expect("a socket");
        let mode = fs::symlink_metadata(&path)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        UnixStream::connect(&path).expect("it listens");
        drop(socket);
        let left = fs::read_dir(directory.path().join("plugins")).expect("a directory");
        assert_eq!(left.count(), 0);
    }

    #[test]
    fn a_running_server_is_not_replaced_and_a_dead_one_is() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("csi.sock");
        let (_killed, listener) = Socket::bind(&path).expect("a socket");
        let error = Socket::bind(&path).expect_err("in use");
        assert!(matches!(error, SocketError::InUse(_)), "{error}");
        drop(listener);
        UnixStream::connect(&path).expect_err("there, and nobody listens");
        let (_next, _listener) = Socket::bind(&path).expect("the dead one is replaced");
        UnixStream::connect(&path).expect("the next one listens");
    }

    #[test]
    fn a_server_too_busy_to_accept_is_alive() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("csi.sock");
        let (_socket, _listener) = Socket::bind(&path).expect("a socket");
        let full = std::iter::repeat_with(|| {
            connect(open(&path).expect("fd"), &address(&path).expect("address"))
        });
        assert!(full.take(1000).any(|result| result == Err(Errno::AGAIN)));
        let error = Socket::bind(&path).expect_err("in use");
        assert!(matches!(error, SocketError::InUse(_)), "{error}");
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("csi.sock");
        fs::write(&path, "precious").expect("a file");
        let error = Socket::bind(&path).expect_err("a file");
        assert!(
            error.to_string().ends_with("exists and is no socket"),
            "{error}"
        );
        assert_eq!(fs::read(&path).expect("still there"), b"precious");
    }

    #[test]
    fn the_socket_of_a_later_server_stays() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("csi.sock");
        let (first, listener) = Socket::bind(&path).expect("a socket");
        drop(listener);
        let (_second, _listener) = Socket::bind(&path).expect("another");
        drop(first);
        UnixStream::connect(&path).expect("the second listens");
    }

    #[test]
    fn a_socket_whose_file_was_taken_away_is_not_there() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("csi.sock");
        let (first, listener) = Socket::bind(&path).expect("a socket");
        assert!(first.is_there());
        fs::remove_file(&path).expect("it was there");
        assert!(!first.is_there());
        drop(listener);
        let (second, _listener) = Socket::bind(&path).expect("another");
        assert!(second.is_there());
    }

    #[test]
    fn a_path_longer_than_an_address_is_named() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("x".repeat(108));
        let error = Socket::bind(&path).expect_err("too long");
        assert!(error.to_string().contains(&"x".repeat(108)), "{error}");
    }
}
