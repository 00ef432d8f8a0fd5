//! What is wired to what. Everything else in the program gets what it needs handed in.
//!
//! The CSI socket is bound before the plugin offers itself to kubelet, so that kubelet never calls a
//! socket that is not there; a call that comes before all is ready waits in the socket.

use std::error::Error;
use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nvme_fabrics::HostIdentity;
use nvme_sysfs::{Action, Sysfs};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use super::controllers::Controllers;
use super::offer::Offer;
use super::sockets::{OnSocket, drained, listen, listen_for, serve};
use super::{NodeOptions, ServeError, start};
use crate::csi::call::Calls;
use crate::csi::identity::{Identity, Role};
use crate::csi::node::Node;
use crate::csi::services::NodeServices;
use crate::host::Host;
use crate::host::blocking::Blocking;
use crate::host::requirements::{Check, Status};
use crate::recovery::Keeper;
use crate::report::admin::Admin;
use crate::report::metrics::Metrics;
use crate::report::poster::Poster;
use crate::report::readiness::Readiness;
use crate::report::reporter::{Outcomes, Reporter};
use crate::volume::{Volumes, VolumesConfig};
use crate::watch::{Seen, Trees};

/// How long the keeper may take for its last deeds: longer than it gives itself.
const LAST_DEEDS: Duration = Duration::from_secs(12);

/// The plugin with all its sockets bound, before it answers.
#[derive(Debug)]
pub struct Plugin {
    csi: Option<OnSocket<NodeServices>>,
    offer: Option<Offer>,
    admin: Option<(TcpListener, Arc<Admin>)>,
    calls: Calls,
    trees: Trees,
    keeper: Keeper,
    poster: Poster,
}

/// What the node service works with.
struct NodeParts {
    host: HostIdentity,
    volumes: Arc<Volumes>,
    calls: Calls,
    reporter: Reporter,
}

impl Plugin {
    /// Takes over what an earlier run left, and binds the sockets.
    ///
    /// # Errors
    /// [`ServeError`]; then no socket is left.
    pub async fn start(
        root: &Path,
        options: &NodeOptions,
        host: Arc<dyn Host>,
    ) -> Result<Plugin, ServeError> {
        let trees = Trees::of(Sysfs::at(root).reading_addresses_once());
        let metrics = Metrics::new(vec![Box::new(Controllers::of(trees.clone()))]);
        let readiness = Arc::new(Readiness::of(root.to_owned()));
        tell_findings(&readiness);
        watch_devices(trees.clone(), Arc::clone(&metrics))?;
        let (reporter, outcomes) = Reporter::counted(&metrics);
        let poster = poster(options, outcomes, Arc::clone(&metrics));
        let identity = HostIdentity::load_or_generate(root)?.identity;
        let volumes = Arc::new(Volumes::new(VolumesConfig {
            root: root.to_owned(),
            driver: options.driver_name.to_string(),
            state_dir: options.state_dir.clone(),
            host,
            trees: trees.clone(),
            identity: identity.clone(),
            timing: options.timing,
            reporter: reporter.clone(),
            metrics: Arc::clone(&metrics),
        })?);
        if let Err(error) = volumes.tell_present() {
            let error: &(dyn Error + 'static) = &error;
            tracing::warn!(error, "cannot tell which volumes are here");
        }
        let (kept, counted) = (Arc::clone(&volumes), Arc::clone(&metrics));
        let keeper = Keeper::new(kept, trees.clone(), counted, reporter.clone());
        let keeper = keeper.map_err(|source| start("the threads that keep volumes", source))?;
        let calls = Calls::new(Arc::clone(&metrics));
        let node = NodeParts {
            host: identity,
            volumes,
            calls: calls.clone(),
            reporter,
        };
        let services = services(options, node, &readiness)?;
        let csi = match &options.endpoint {
            Some(path) => Some(listen_for(path, services)?),
            None => None,
        };
        let offer = Offer::to_kubelet(options, &readiness);
        let admin = match options.admin_address {
            Some(address) => Some((listen(address)?, Admin::new(metrics, readiness))),
            None => None,
        };
        Ok(Plugin {
            csi,
            offer,
            admin,
            calls,
            trees,
            keeper,
            poster,
        })
    }

    /// Answers calls until `stop` is done, and then those that are under way.
    ///
    /// # Errors
    /// [`ServeError::Serve`].
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let (csi, csi_socket) = self.csi.unzip();
        let admin = self
            .admin
            .map(|(listener, admin)| tokio::spawn(admin.serve(listener)));
        let (stopping, stopped) = watch::channel(());
        // It keeps volumes until the last call is over.
        let (keeping, kept) = watch::channel(());
        let mut keeper = tokio::spawn(self.keeper.run(kept));
        // It goes on to the end: the calls that are under way may have something to tell.
        let poster = tokio::spawn(self.poster.run());
        let stop = async {
            stop.await;
            drop(stopping);
            drained(&self.calls).await;
        };
        let serve = async {
            tokio::try_join!(
                serve(csi, stopped.clone()),
                Offer::stand(self.offer, stopped.clone()),
            )
        };
        let served = tokio::select! {
            served = serve => served.map(drop),
            () = stop => Ok(()),
        };
        drop(keeping);
        let _ended = timeout(LAST_DEEDS, &mut keeper).await;
        self.trees.close();
        keeper.abort();
        poster.abort();
        if let Some(admin) = admin {
            admin.abort();
        }
        // The offer's socket went with the offer: kubelet is told that the plugin goes before the socket
        // goes that it would call.
        drop(csi_socket);
        served
    }
}

fn poster(options: &NodeOptions, outcomes: Outcomes, metrics: Arc<Metrics>) -> Poster {
    let driver = options.driver_name.to_string();
    let node = options.node_name.to_string();
    Poster::new(&driver, &node, outcomes, metrics)
}

fn services(
    options: &NodeOptions,
    parts: NodeParts,
    readiness: &Arc<Readiness>,
) -> Result<NodeServices, ServeError> {
    let blocking = Blocking::new("call", options.blocking_threads);
    let blocking = blocking.map_err(|source| start("the threads that may block", source))?;
    let NodeParts {
        host,
        volumes,
        calls,
        reporter,
    } = parts;
    let driver_name = options.driver_name.clone();
    let identity = Identity::new(
        driver_name,
        Role::Node,
        Arc::clone(readiness),
        calls.clone(),
    );
    let node_name = options.node_name.clone();
    let node = Node::new(node_name, host, volumes, blocking, calls, reporter);
    Ok(NodeServices::new(identity, node))
}

/// Starts the thread that keeps the tree current; [`Trees::close`] ends it.
fn watch_devices(trees: Trees, metrics: Arc<Metrics>) -> Result<(), ServeError> {
    let watch = move || trees.watch(|seen| count(&metrics, &seen));
    let thread = thread::Builder::new().name("watch".to_owned()).spawn(watch);
    let thread: io::Result<()> = thread.map(drop);
    thread.map_err(|source| start("the watch over devices", source))
}

fn count(metrics: &Metrics, seen: &Seen) {
    match seen {
        Seen::Uevent(event) => metrics.uevent(match event.action {
            Action::Add => "add",
            Action::Remove => "remove",
            Action::Change => "change",
            _ => "other",
        }),
        Seen::Lost => metrics.uevent_overrun(),
    }
}

/// Says at once what a volume would fail for later.
fn tell_findings(readiness: &Readiness) {
    for Check {
        name,
        status,
        finding,
        what_to_do,
        ..
    } in readiness.findings()
    {
        let what_to_do = what_to_do.unwrap_or_default();
        if status == Status::Fail {
            tracing::error!(name, finding, what_to_do, "this node cannot attach volumes");
        } else {
            tracing::warn!(name, finding, what_to_do, "this node may lack something");
        }
    }
}
