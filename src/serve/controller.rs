//! The controller: what is wired to what.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::ServeError;
use super::sockets::{OnSocket, drained, listen, listen_for, serve};
use crate::cluster::Cluster;
use crate::csi::call::Calls;
use crate::csi::controller::Controller;
use crate::csi::driver_name::DriverName;
use crate::csi::identity::{Identity, Role};
use crate::csi::services::ControllerServices;
use crate::report::admin::Admin;
use crate::report::metrics::Metrics;
use crate::report::readiness::Readiness;

/// What the controller is told.
#[derive(Debug, Clone)]
pub struct ControllerOptions {
    /// The driver's name.
    pub driver_name: DriverName,
    /// Where the CSI is served.
    pub endpoint: PathBuf,
    /// Where metrics and probes are served; absent: nowhere.
    pub admin_address: Option<SocketAddr>,
}

/// The controller with all its sockets bound, before it answers.
#[derive(Debug)]
pub struct ControllerPlugin {
    csi: OnSocket<ControllerServices>,
    admin: Option<(TcpListener, Arc<Admin>)>,
    calls: Calls,
}

impl ControllerPlugin {
    /// Binds the sockets. The API server that `client` asks is not asked yet.
    ///
    /// # Errors
    /// [`ServeError`]; then no socket is left.
    pub async fn start(
        options: &ControllerOptions,
        client: Client,
    ) -> Result<ControllerPlugin, ServeError> {
        let metrics = Metrics::new(Vec::new());
        let readiness = Arc::new(Readiness::anywhere());
        let calls = Calls::new(Arc::clone(&metrics));
        let name = options.driver_name.clone();
        let cluster = Cluster::of(client, name.to_string());
        let identity = Identity::new(
            name,
            Role::Controller,
            Arc::clone(&readiness),
            calls.clone(),
        );
        let controller = Controller::new(cluster, calls.clone());
        let services = ControllerServices::new(identity, controller);
        let csi = listen_for(&options.endpoint, services)?;
        let admin = match options.admin_address {
            Some(address) => Some((listen(address)?, Admin::new(metrics, readiness))),
            None => None,
        };
        Ok(ControllerPlugin { csi, admin, calls })
    }

    /// Answers calls until `stop` is done, and then those that are under way.
    ///
    /// # Errors
    /// [`ServeError::Serve`].
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let (csi, _socket) = self.csi;
        let admin = self
            .admin
            .map(|(listener, admin)| tokio::spawn(admin.serve(listener)));
        let (stopping, stopped) = watch::channel(());
        let stop = async {
            stop.await;
            drop(stopping);
            drained(&self.calls).await;
        };
        let served = tokio::select! {
            served = serve(Some(csi), stopped) => served,
            () = stop => Ok(()),
        };
        if let Some(admin) = admin {
            admin.abort();
        }
        served
    }
}
