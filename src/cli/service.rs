//! What the verbs that serve the CSI have in common: their addresses, and how they end.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::exit::{Exit, Failure};
use super::output::{Format, Report};
use crate::serve::ServeError;

/// Why a plugin was not started, or ended.
#[derive(Debug, Error)]
pub enum ServiceFailure {
    /// A path is relative: kubelet would look for it elsewhere.
    #[error("{option} {}: must be an absolute path", path.display())]
    Relative {
        /// Which option.
        option: &'static str,
        /// Its value.
        path: PathBuf,
    },
    /// Only Unix sockets are served.
    #[error("--endpoint {0:?}: must be unix:// and an absolute path")]
    Endpoint(String),
    /// Not an address with a port.
    #[error("--admin-address {0:?}: must be an IP address and a port")]
    AdminAddress(String),
    /// The plugin ended.
    #[error("the plugin ended")]
    Serve(#[from] ServeError),
}

impl Failure for ServiceFailure {
    fn exit(&self) -> Exit {
        match self {
            ServiceFailure::Relative { .. }
            | ServiceFailure::Endpoint(_)
            | ServiceFailure::AdminAddress(_) => Exit::WrongUse,
            ServiceFailure::Serve(_) => Exit::Failed,
        }
    }
}

/// Nothing to print.
#[derive(Debug)]
pub struct Ended;

impl Report for Ended {
    fn write(&self, _: Format, _: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn absolute(option: &'static str, path: PathBuf) -> Result<PathBuf, ServiceFailure> {
    match path.is_absolute() {
        true => Ok(path),
        false => Err(ServiceFailure::Relative { option, path }),
    }
}

pub(super) fn parse_endpoint(text: String) -> Result<PathBuf, ServiceFailure> {
    match text.strip_prefix("unix://").map(Path::new) {
        Some(path) if path.is_absolute() => Ok(path.to_owned()),
        _ => Err(ServiceFailure::Endpoint(text)),
    }
}

/// An empty text is no address.
pub(super) fn parse_admin_address(text: String) -> Result<Option<SocketAddr>, ServiceFailure> {
    if text.is_empty() {
        return Ok(None);
    }
    let address = text.parse();
    address
        .map(Some)
        .map_err(|_| ServiceFailure::AdminAddress(text))
}
