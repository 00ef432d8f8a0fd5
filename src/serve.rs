//! The node plugin and the controller as a whole: how they start and how they end. What is wired to
//! what stands in [`Plugin`] and [`ControllerPlugin`].
//!
//! The first SIGTERM or SIGINT drains: no call is taken any more, those under way are answered, the
//! sockets are removed. A second one ends the program at once, which loses nothing: it is written to
//! be killed at any moment.

mod any_address;
mod authority;
mod controller;
mod controllers;
mod offer;
mod plugin;
mod process;
mod signals;
mod socket;
mod sockets;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nvme_fabrics::IdentityError;
use thiserror::Error;
use tokio::sync::watch;

use crate::cluster::node_id::NodeName;
use crate::cluster::{self, ClientError};
use crate::csi::driver_name::DriverName;
use crate::host::Host;
use crate::volume::{OpenVolumesError, Timing};
pub use controller::{ControllerOptions, ControllerPlugin};
pub use plugin::Plugin;
use signals::Signals;
pub use socket::SocketError;

/// What the node plugin is told.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// This node's name in the cluster.
    pub node_name: NodeName,
    /// The driver's name.
    pub driver_name: DriverName,
    /// Where the CSI is served; absent: nowhere.
    pub endpoint: Option<PathBuf>,
    /// Where kubelet looks for plugins; absent: it is not told of this one.
    pub registration_dir: Option<PathBuf>,
    /// Where the records of staged volumes are kept.
    pub state_dir: PathBuf,
    /// How many calls are worked on at once.
    pub blocking_threads: NonZeroUsize,
    /// Where metrics and probes are served; absent: nowhere.
    pub admin_address: Option<SocketAddr>,
    /// How long a call waits for the kernel and the target.
    pub timing: Timing,
}

/// Why the plugin does not run, or how it ended before its calls were answered.
#[derive(Debug, Error)]
pub enum ServeError {
    /// This host has no identity, and none can be made.
    #[error("cannot tell who this host is")]
    Identity(#[from] IdentityError),
    /// The volumes of an earlier run cannot be read.
    #[error("cannot take over the volumes of this node")]
    Volumes(#[from] OpenVolumesError),
    /// There is no cluster to ask.
    #[error("cannot ask a cluster")]
    Cluster(#[from] ClientError),
    /// A thread or the event loop cannot be started.
    #[error("cannot start {what}")]
    Start {
        /// Which.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A Unix socket cannot be had.
    #[error("cannot listen for calls")]
    Socket(#[from] SocketError),
    /// The admin address cannot be had.
    #[error("cannot listen at the admin address {address}")]
    Admin {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A socket is not served any more.
    #[error("cannot go on answering calls")]
    Serve(#[from] tonic::transport::Error),
    /// A second signal came.
    #[error("ended by a second signal while calls were still being answered")]
    Aborted,
}

/// Runs the plugin until a signal ends it. All files of the machine are taken below `root`, but for
/// those that kubelet names.
///
/// # Errors
/// [`ServeError`].
pub fn run(root: &Path, options: &NodeOptions, host: Arc<dyn Host>) -> Result<(), ServeError> {
    process::settle(root);
    until_signal(async |stopped| {
        let plugin = Plugin::start(root, options, host).await?;
        plugin.serve(ended(stopped)).await
    })
}

/// Runs the controller, in a pod, until a signal ends it.
///
/// # Errors
/// [`ServeError`].
pub fn run_controller(options: &ControllerOptions) -> Result<(), ServeError> {
    until_signal(async |stopped| {
        let client = cluster::in_cluster()?;
        let plugin = ControllerPlugin::start(options, client).await?;
        plugin.serve(ended(stopped)).await
    })
}

/// Does `work` until a first signal, which drops the other side of what it is given, lets it end, or
/// a second one ends it.
fn until_signal(
    work: impl AsyncFnOnce(watch::Receiver<()>) -> Result<(), ServeError>,
) -> Result<(), ServeError> {
    // One thread is enough: it only passes messages on, and each more costs memory on every node.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| start("the event loop", source))?;
    runtime.block_on(async {
        let signals = Signals::catch().map_err(|source| start("signal handling", source))?;
        let (stop, stopped) = watch::channel(());
        tokio::select! {
            ended = work(stopped) => ended,
            () = signals.drain_then_abort(stop) => Err(ServeError::Aborted),
        }
    })
}

fn start(what: &'static str, source: io::Error) -> ServeError {
    ServeError::Start { what, source }
}

/// Is done when the sending side is dropped.
async fn ended(mut side: watch::Receiver<()>) {
    while side.changed().await.is_ok() {}
}
