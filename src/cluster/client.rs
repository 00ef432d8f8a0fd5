//! The client of the API server that every pod has: address from the environment, token and CA from files.

use std::env;

use kube::config::InClusterError;
use kube::{Client, Config};
use thiserror::Error;

/// The name of the API server's address in every pod.
const SERVICE_HOST: &str = "KUBERNETES_SERVICE_HOST";

/// Why there is no client.
#[derive(Debug, Error)]
pub enum ClientError {
    /// This is no pod.
    #[error(
        "there is no cluster here: {SERVICE_HOST} is not set; the controller runs in a pod, see \
         deploy/kubernetes/controller.yaml"
    )]
    Outside,
    /// The pod's token or certificate cannot be read.
    #[error("cannot read how this pod reaches the API server")]
    Access(#[source] Box<InClusterError>),
    /// They are not usable.
    #[error("cannot make a client of the API server")]
    Client(#[source] Box<kube::Error>),
}

/// The client of the cluster that this program runs in. It connects at the first question.
///
/// # Errors
/// [`ClientError`].
pub fn in_cluster() -> Result<Client, ClientError> {
    if env::var_os(SERVICE_HOST).is_none() {
        return Err(ClientError::Outside);
    }
    let config = Config::incluster().map_err(|error| ClientError::Access(Box::new(error)))?;
    Client::try_from(config).map_err(|error| ClientError::Client(Box::new(error)))
}
