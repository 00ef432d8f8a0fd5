//! What the verbs that serve the CSI have in common: their addresses, and how they end.

use std::io::{self, Write};
use std::net::{Ipv6Addr, SocketAddr};
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
    /// The kernel tells mounts by their real paths, which are not those that kubelet would call them by.
    #[error(
        "--kubelet-dir {} leads through a symbolic link: its real path is {}",
        path.display(),
        real.display()
    )]
    Linked {
        /// What was given.
        path: PathBuf,
        /// Where it leads.
        real: PathBuf,
    },
    /// Only Unix sockets are served.
    #[error("--endpoint {0:?}: must be unix:// and an absolute path")]
    Endpoint(String),
    /// Not an address with a port.
    #[error(
        "--admin-address {0:?}: must be an IP address and a port, or a colon and a port for any address"
    )]
    AdminAddress(String),
    /// The plugin ended.
    #[error("the plugin ended")]
    Serve(#[from] ServeError),
}

impl Failure for ServiceFailure {
    fn exit(&self) -> Exit {
        match self {
            ServiceFailure::Relative { .. }
            | ServiceFailure::Linked { .. }
            | ServiceFailure::Endpoint(_)
            | ServiceFailure::AdminAddress(_) => Exit::WrongUse,
            ServiceFailure::Serve(_) => Exit::Failed,
        }
    }

    fn remedy(&self) -> Option<String> {
        match self {
            ServiceFailure::Linked { real, .. } => Some(format!(
                "start kubelet with --root-dir={real} and this plugin with --kubelet-dir={real}",
                real = real.display()
            )),
            _ => None,
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

/// Refuses a directory that is reached through a symbolic link. One that is not there, or cannot be looked at, is none
/// yet.
pub(super) fn check_real(path: &Path) -> Result<(), ServiceFailure> {
    match path.canonicalize() {
        Ok(real) if real != path => Err(ServiceFailure::Linked {
            path: path.to_owned(),
            real,
        }),
        _ => Ok(()),
    }
}

pub(super) fn parse_endpoint(text: String) -> Result<PathBuf, ServiceFailure> {
    match text.strip_prefix("unix://").map(Path::new) {
        Some(path) if path.is_absolute() => Ok(path.to_owned()),
        _ => Err(ServiceFailure::Endpoint(text)),
    }
}

/// An empty text is no address; one without an IP address is any, which is `[::]`.
pub(super) fn parse_admin_address(text: String) -> Result<Option<SocketAddr>, ServiceFailure> {
    if text.is_empty() {
        return Ok(None);
    }
    let address = match text.starts_with(':') {
        true => format!("[{}]{text}", Ipv6Addr::UNSPECIFIED).parse(),
        false => text.parse(),
    };
    address
        .map(Some)
        .map_err(|_| ServiceFailure::AdminAddress(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_address_is_one_or_any_or_none() {
        for (text, expected) in [
            ("", None),
            (":9809", Some("[::]:9809")),
            ("127.0.0.1:9809", Some("127.0.0.1:9809")),
            ("[fd00::2]:9809", Some("[fd00::2]:9809")),
        ] {
            let address = parse_admin_address(text.to_owned()).expect("an address");
            let expected = expected.map(|text| text.parse().expect("an address"));
            assert_eq!(address, expected, "{text:?}");
        }
        for text in [":", "::9809", ":65536", ":+80", ":a", "9809", "host:9809"] {
            let error = parse_admin_address(text.to_owned()).expect_err(text);
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }
}
