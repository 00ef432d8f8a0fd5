//! `node`: the node plugin that kubelet calls.
//!
//! Invariant: it prints nothing on standard output; what it does is in the log.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::Command;
use super::exit::{Exit, Failure};
use super::output::{Format, Report};
use crate::config::Config;
use crate::csi::driver_name::DriverName;
use crate::csi::node_id::NodeName;
use crate::host::{LinuxHost, Timeouts};
use crate::serve::{self, NodeOptions, ServeError};
use crate::volume::Timing;

/// Arguments of `node`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Name of this node in the cluster
    #[arg(long, value_name = "NAME")]
    node_id: NodeName,

    /// Name of the driver, as in CSIDriver and PersistentVolumes
    #[arg(long, value_name = "DRIVER_NAME", default_value = "direct.nvmeof.csi")]
    driver_name: DriverName,

    /// kubelet's directory, at the same path inside a container as outside
    #[arg(long, value_name = "KUBELET_DIR", default_value = "/var/lib/kubelet")]
    kubelet_dir: PathBuf,

    /// Where to serve the CSI; empty: nowhere [default:
    /// unix://KUBELET_DIR/plugins/DRIVER_NAME/csi.sock]
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,

    /// Where kubelet looks for plugins; empty: do not register [default:
    /// KUBELET_DIR/plugins_registry]
    #[arg(long, value_name = "DIR")]
    registration_dir: Option<PathBuf>,

    /// Where to keep what is staged here [default: KUBELET_DIR/plugins/DRIVER_NAME/state]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,

    /// How many calls are worked on at once
    // A call that waits for a dead target occupies a thread for a few seconds, and a node starts
    // dozens of pods at once after a reboot. A thread that has staged keeps some 30 KiB of memory.
    #[arg(long, value_name = "N", default_value = "24")]
    blocking_threads: NonZeroUsize,

    /// Where to serve /metrics, /live and /ready; empty: nowhere
    // The host's network is used, so only this host may ask unless told otherwise.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9809")]
    admin_address: String,
}

/// Why the plugin was not started, or ended.
#[derive(Debug, Error)]
pub enum NodeFailure {
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
    #[error("the node plugin ended")]
    Serve(#[from] ServeError),
}

impl Failure for NodeFailure {
    fn exit(&self) -> Exit {
        match self {
            NodeFailure::Relative { .. }
            | NodeFailure::Endpoint(_)
            | NodeFailure::AdminAddress(_) => Exit::WrongUse,
            NodeFailure::Serve(_) => Exit::Failed,
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

impl Command for Arguments {
    type Options = NodeOptions;
    type Report = Ended;
    type Failure = NodeFailure;

    fn format(&self) -> Format {
        Format::Human
    }

    fn options(self) -> Result<NodeOptions, NodeFailure> {
        let kubelet = absolute("--kubelet-dir", self.kubelet_dir)?;
        let plugin = kubelet.join("plugins").join(self.driver_name.to_string());
        let endpoint = match self.endpoint {
            None => Some(plugin.join("csi.sock")),
            Some(text) if text.is_empty() => None,
            Some(text) => Some(parse_endpoint(text)?),
        };
        let registration_dir = match self.registration_dir {
            None => Some(kubelet.join("plugins_registry")),
            Some(path) if path.as_os_str().is_empty() => None,
            Some(path) => Some(absolute("--registration-dir", path)?),
        };
        let state_dir = match self.state_dir {
            None => plugin.join("state"),
            Some(path) => absolute("--state-dir", path)?,
        };
        Ok(NodeOptions {
            node_name: self.node_id,
            driver_name: self.driver_name,
            endpoint,
            registration_dir,
            state_dir,
            blocking_threads: self.blocking_threads,
            admin_address: parse_admin_address(self.admin_address)?,
            timing: Timing::default(),
        })
    }

    fn run(config: &Config, options: NodeOptions) -> Result<Ended, NodeFailure> {
        let host = LinuxHost::new(&config.root, Timeouts::default());
        serve::run(&config.root, &options, Arc::new(host))?;
        Ok(Ended)
    }
}

fn absolute(option: &'static str, path: PathBuf) -> Result<PathBuf, NodeFailure> {
    match path.is_absolute() {
        true => Ok(path),
        false => Err(NodeFailure::Relative { option, path }),
    }
}

fn parse_endpoint(text: String) -> Result<PathBuf, NodeFailure> {
    match text.strip_prefix("unix://").map(Path::new) {
        Some(path) if path.is_absolute() => Ok(path.to_owned()),
        _ => Err(NodeFailure::Endpoint(text)),
    }
}

fn parse_admin_address(text: String) -> Result<Option<SocketAddr>, NodeFailure> {
    if text.is_empty() {
        return Ok(None);
    }
    let address = text.parse();
    address
        .map(Some)
        .map_err(|_| NodeFailure::AdminAddress(text))
}
