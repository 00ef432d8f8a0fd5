//! The way to the API server.
//!
//! A client is made when something is to be told, and let go when it did not help or is not used:
//! most nodes never have an event and its memory is wanted elsewhere, and the next one reads anew where
//! the API server is, how it proves itself and who asks.

use std::env;
use std::fmt;

use kube::{Client, Config};

use super::ask::ApiError;

/// The name of the API server's address in every pod.
const SERVICE_HOST: &str = "KUBERNETES_SERVICE_HOST";

type Connect = Box<dyn Fn() -> Result<Client, ApiError> + Send>;

/// The cluster of which this node is a part.
pub(super) struct Cluster {
    /// None where there is no cluster.
    connect: Option<Connect>,
    client: Option<Client>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Cluster");
        shown.field("is_absent", &self.is_absent());
        shown.finish_non_exhaustive()
    }
}

impl Cluster {
    /// The one that the environment names, if it names one.
    pub(super) fn of_this_pod() -> Cluster {
        let is_pod = env::var_os(SERVICE_HOST).is_some();
        Cluster {
            connect: is_pod.then(|| Box::new(connect) as Connect),
            client: None,
        }
    }

    /// One that is reached like this.
    pub(super) fn reached_by(
        connect: impl Fn() -> Result<Client, ApiError> + Send + 'static,
    ) -> Cluster {
        Cluster {
            connect: Some(Box::new(connect)),
            client: None,
        }
    }

    /// Whether there is none.
    pub(super) fn is_absent(&self) -> bool {
        self.connect.is_none()
    }

    /// A client of its API server; none where there is no cluster.
    pub(super) fn client(&mut self) -> Result<Option<Client>, ApiError> {
        if let (None, Some(connect)) = (&self.client, &self.connect) {
            self.client = Some(connect()?);
        }
        Ok(self.client.clone())
    }

    /// Lets the client go.
    pub(super) fn hang_up(&mut self) {
        self.client = None;
    }
}

fn connect() -> Result<Client, ApiError> {
    let client = Client::try_from(Config::incluster()?);
    client.map_err(|error| ApiError::Client(Box::new(error)))
}
