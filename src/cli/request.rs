//! Options of a connect before it is known who this host is.
//!
//! Invariant: everything the command line says was checked when the request was made; completing it
//! reads only the identity of this host.

use std::path::Path;

use nvme_fabrics::{
    ConnectOptions, ConnectOptionsBuilder, HostIdentity, IdentityError, LoadedIdentity,
    OptionsError,
};
use thiserror::Error;

/// Checked options, complete but for the host's identity.
#[derive(Debug)]
pub(crate) struct Request {
    builder: ConnectOptionsBuilder,
    options: ConnectOptions,
}

/// Why a request could not be completed.
#[derive(Debug, Error)]
pub enum RequestError {
    /// This host has no identity, and none can be made.
    #[error("cannot tell who this host is")]
    Identity(#[from] IdentityError),
    /// With the identity the options break a rule.
    #[error("wrong options")]
    Options(#[from] OptionsError),
}

impl Request {
    /// Checks what the builder was given.
    pub(crate) fn new(builder: ConnectOptionsBuilder) -> Result<Request, OptionsError> {
        let options = builder.build()?;
        Ok(Request { builder, options })
    }

    /// The options that were given.
    pub(crate) fn options(&self) -> &ConnectOptions {
        &self.options
    }

    /// Adds who this host is, unless that was given. A host that is nobody yet gets an identity.
    pub(crate) fn identified(&self, root: &Path) -> Result<ConnectOptions, RequestError> {
        self.with_identity(|| HostIdentity::load_or_generate(root))
    }

    /// The same, with nothing written: a host that is nobody yet stays so.
    pub(crate) fn previewed(&self, root: &Path) -> Result<ConnectOptions, RequestError> {
        match self.with_identity(|| HostIdentity::load(root)) {
            Err(RequestError::Identity(IdentityError::NotFound { path })) => {
                tracing::warn!(path = %path.display(), "this host has no identity; a connect would make one");
                Ok(self.options.clone())
            }
            other => other,
        }
    }

    fn with_identity(
        &self,
        load: impl FnOnce() -> Result<LoadedIdentity, IdentityError>,
    ) -> Result<ConnectOptions, RequestError> {
        if self.options.hostnqn().is_some() {
            return Ok(self.options.clone());
        }
        let identity = load()?.identity;
        let mut builder = self.builder.clone();
        builder.hostnqn(identity.hostnqn).hostid(identity.hostid);
        Ok(builder.build()?)
    }
}
