//! The bare conversation with `/dev/nvme-fabrics`: one write, one read.
//!
//! The write blocks for the whole connect, and while it does nobody else on the host can connect.
//! It waits partly uninterruptibly: a caller with a deadline gives it a thread of its own.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::ConnectError;
use crate::options::ConnectOptions;
use crate::reply::Reply;

/// Why `/dev/nvme-fabrics` could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenDeviceError {
    /// It does not exist.
    #[error("{} does not exist: the kernel module nvme_fabrics is not loaded", path.display())]
    Missing {
        /// The device.
        path: PathBuf,
    },
    /// It exists; it belongs to root.
    #[error("cannot open {}", path.display())]
    Open {
        /// The device.
        path: PathBuf,
        /// What the open answered.
        source: io::Error,
    },
}

/// Longer than any reply.
const MAX_REPLY: usize = 128;

/// Writes the options to `device`, freshly opened, and reads the reply.
///
/// Close the device at once after it: while it stays open, a deleted controller keeps its number.
///
/// # Errors
/// What the kernel's errno means. For a bare `EIO` or `EINVAL` the explanation is
/// [`NotAsked`](crate::Explanation::NotAsked): [`Fabrics::connect`](crate::Fabrics::connect)
/// looks for it.
pub fn connect<D: Read + Write>(
    device: &mut D,
    options: &ConnectOptions,
) -> Result<Reply, ConnectError> {
    let text = options.encode();
    let failed = |error| ConnectError::from_write(error, options);
    // Never write_all: the rest of a partly taken text would be a second request.
    let written = device.write(text.as_bytes()).map_err(failed)?;
    if written != text.as_bytes().len() {
        return Err(failed(io::Error::from(ErrorKind::WriteZero)));
    }
    let mut reply = [0; MAX_REPLY];
    let len = device.read(&mut reply).map_err(ConnectError::ReadReply)?;
    Ok(Reply::parse(&String::from_utf8_lossy(&reply[..len]))?)
}

/// Opens the device below `root` for one conversation.
pub(crate) fn open_device(root: &Path) -> Result<File, OpenDeviceError> {
    let path = root.join("dev/nvme-fabrics");
    let opened = OpenOptions::new().read(true).write(true).open(&path);
    opened.map_err(|source| match source.kind() {
        ErrorKind::NotFound => OpenDeviceError::Missing { path },
        _ => OpenDeviceError::Open { path, source },
    })
}
