//! `node`: the node plugin that kubelet calls.
//!
//! Invariant: it prints nothing on standard output; what it does is in the log.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use nvme_fabrics::Owner;

use super::command::Command;
use super::output::Format;
use super::service::{
    Ended, ServiceFailure, absolute, check_real, parse_admin_address, parse_endpoint,
};
use crate::cluster::node_id::NodeName;
use crate::config::Config;
use crate::csi::driver_name::DriverName;
use crate::host::{LinuxHost, Timeouts};
use crate::serve::{self, NodeOptions};
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
    // Not a path for clap, which takes no empty one.
    registration_dir: Option<OsString>,

    /// Where to keep what is staged here [default: KUBELET_DIR/plugins/DRIVER_NAME/state]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,

    /// How many calls are worked on at once
    // A call that waits for a dead target occupies a thread for a few seconds, and a node starts
    // dozens of pods at once after a reboot. A thread that has staged keeps some 30 KiB of memory.
    #[arg(long, value_name = "N", default_value = "24")]
    blocking_threads: NonZeroUsize,

    /// Where to serve /metrics, /live and /ready; :PORT: at any address; empty: nowhere
    // The host's network is used, so only this host may ask unless told otherwise.
    #[arg(long, value_name = "[IP]:PORT", default_value = "127.0.0.1:9809")]
    admin_address: String,
}

/// What the plugin is told, and the directory of kubelet's that it must be reachable below.
#[derive(Debug)]
pub struct Options {
    kubelet: PathBuf,
    node: NodeOptions,
}

impl Command for Arguments {
    type Options = Options;
    type Report = Ended;
    type Failure = ServiceFailure;

    fn format(&self) -> Format {
        Format::Human
    }

    fn options(self) -> Result<Options, ServiceFailure> {
        let kubelet = absolute("--kubelet-dir", self.kubelet_dir)?;
        let plugin = kubelet.join("plugins").join(self.driver_name.to_string());
        let endpoint = match self.endpoint {
            None => Some(plugin.join("csi.sock")),
            Some(text) if text.is_empty() => None,
            Some(text) => Some(parse_endpoint(text)?),
        };
        let registration_dir = match self.registration_dir {
            None => Some(kubelet.join("plugins_registry")),
            Some(path) if path.is_empty() => None,
            Some(path) => Some(absolute("--registration-dir", path.into())?),
        };
        let state_dir = match self.state_dir {
            None => plugin.join("state"),
            Some(path) => absolute("--state-dir", path)?,
        };
        let node = NodeOptions {
            node_name: self.node_id,
            driver_name: self.driver_name,
            endpoint,
            registration_dir,
            state_dir,
            blocking_threads: self.blocking_threads,
            admin_address: parse_admin_address(self.admin_address)?,
            timing: Timing::default(),
        };
        Ok(Options { kubelet, node })
    }

    fn run(config: &Config, options: Options) -> Result<Ended, ServiceFailure> {
        check_real(&options.kubelet)?;
        let options = options.node;
        let owner = Owner::Driver(options.driver_name.to_string());
        let host = LinuxHost::new(&config.root, owner, Timeouts::default());
        serve::run(&config.root, &options, Arc::new(host))?;
        Ok(Ended)
    }
}
