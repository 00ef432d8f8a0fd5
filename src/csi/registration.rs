//! How kubelet learns of this plugin: it finds a socket in `plugins_registry` and asks there
//! (pluginregistration version 1). Serving it here saves the sidecar node-driver-registrar.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::driver_name::DriverName;
use super::registration_proto::registration_server;
use super::registration_proto::{
    InfoRequest, PluginInfo, RegistrationStatus, RegistrationStatusResponse,
};
use crate::report::readiness::{self, Readiness};

/// What kubelet's own constants call a CSI driver.
const CSI_PLUGIN: &str = "CSIPlugin";

/// kubelet takes the highest version whose major number it knows, which is 1 for every release of
/// the CSI since 1.0; node-driver-registrar announces the same.
const VERSION: &str = "1.0.0";

/// Answers kubelet.
#[derive(Debug)]
pub struct Registration {
    name: DriverName,
    endpoint: PathBuf,
    readiness: Arc<Readiness>,
}

impl Registration {
    /// For the driver whose CSI socket is at `endpoint`, as kubelet sees it.
    #[must_use]
    pub fn new(name: DriverName, endpoint: PathBuf, readiness: Arc<Readiness>) -> Registration {
        Registration {
            name,
            endpoint,
            readiness,
        }
    }

    /// Where kubelet looks for the socket of the driver `name`.
    #[must_use]
    pub fn socket(directory: &Path, name: &DriverName) -> PathBuf {
        directory.join(format!("{name}-reg.sock"))
    }
}

#[tonic::async_trait]
impl registration_server::Registration for Registration {
    async fn get_info(&self, _: Request<InfoRequest>) -> Result<Response<PluginInfo>, Status> {
        tracing::debug!("kubelet asks who is there");
        // What it has said before holds until it says something else.
        if self.readiness.registration() == readiness::Registration::Unheard {
            self.readiness.note(readiness::Registration::Asked);
        }
        Ok(Response::new(PluginInfo {
            r#type: CSI_PLUGIN.to_owned(),
            name: self.name.to_string(),
            endpoint: self.endpoint.display().to_string(),
            supported_versions: vec![VERSION.to_owned()],
        }))
    }

    async fn notify_registration_status(
        &self,
        request: Request<RegistrationStatus>,
    ) -> Result<Response<RegistrationStatusResponse>, Status> {
        let RegistrationStatus {
            plugin_registered,
            error,
        } = request.into_inner();
        // kubelet goes on trying by itself, so there is nothing to do but to tell, each answer once.
        if plugin_registered {
            if self.readiness.note(readiness::Registration::Accepted) {
                tracing::info!("registered with kubelet");
            }
        } else if self
            .readiness
            .note(readiness::Registration::Refused(error.clone()))
        {
            tracing::error!(error, "kubelet refused this plugin");
        }
        Ok(Response::new(RegistrationStatusResponse {}))
    }
}
