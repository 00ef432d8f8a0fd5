//! From a source to a usable disk: connect every address, wait for the namespace, prove it.
//!
//! Invariants: one address that works is enough, the others are tried again at the next call; the
//! disk that comes out is never the hidden path form and has a device node; controllers that this
//! call made are told to the caller, also when it fails.

mod options;
mod wait;

use std::error::Error;
use std::time::Duration;

use nvme_fabrics::{ConnectError, ConnectHow, ConnectOptions, OptionsError};
use nvme_sysfs::{AmbiguousNamespace, Instance, Namespace, Nqn, ScanError};
use thiserror::Error;

use super::identity::Disk;
use super::request::Secrets;
use super::source::Source;
use super::volumes::Volumes;
use crate::host::DeviceNode;
pub(crate) use options::connect_options;

/// A volume's namespace on this node.
#[derive(Debug, Clone)]
pub(super) struct Attached {
    /// As it was found.
    pub(super) namespace: Namespace,
    /// Its disk.
    pub(super) disk: Disk,
}

/// Why a volume could not be attached.
#[derive(Debug, Error)]
pub enum AttachError {
    /// A parameter does not suit the transport, or breaks a rule of the kernel.
    #[error("the parameters of the connection are not valid")]
    Options(#[from] OptionsError),
    /// None of the addresses could be connected.
    #[error("none of the {addresses} addresses of {nqn} could be connected, the first one failed")]
    NoController {
        /// The subsystem.
        nqn: Nqn,
        /// How many were tried.
        addresses: usize,
        /// Why the first one failed; the log has the others.
        source: Box<ConnectError>,
    },
    /// There are controllers, and the namespace did not appear.
    #[error("{nqn} has no usable {wanted} after {waited:?}: {seen}")]
    NotReady {
        /// The subsystem.
        nqn: Nqn,
        /// Which namespace is wanted.
        wanted: String,
        /// How long it was waited for.
        waited: Duration,
        /// What is there instead.
        seen: String,
    },
    /// Several namespaces match.
    #[error("the parameters do not say which namespace is meant")]
    Ambiguous(#[from] AmbiguousNamespace),
    /// The NVMe devices cannot be read.
    #[error("cannot read the NVMe devices")]
    Scan(#[from] ScanError),
}

impl Volumes {
    /// Connects the source and returns its namespace. The controllers that were not there before are
    /// added to `created`.
    pub(super) fn attach(
        &self,
        source: &Source,
        secrets: &Secrets,
        created: &mut Vec<Instance>,
    ) -> Result<Attached, AttachError> {
        self.connect(source, secrets, created)?;
        self.wait_for_namespace(source)
    }

    /// Connects every address of the source that is not connected.
    pub(super) fn connect(
        &self,
        source: &Source,
        secrets: &Secrets,
        created: &mut Vec<Instance>,
    ) -> Result<(), AttachError> {
        let connects = connect_options(source, secrets, &self.config.identity)?;
        self.connect_all(&source.nqn, &connects, created)
    }

    fn connect_all(
        &self,
        nqn: &Nqn,
        connects: &[ConnectOptions],
        created: &mut Vec<Instance>,
    ) -> Result<(), AttachError> {
        let _subsystem = self.subsystems.lock(nqn);
        let mut first_failure = None;
        let mut connected = 0;
        for options in connects {
            match self.host().connect(options) {
                Ok(controller) => {
                    connected += 1;
                    if controller.how == ConnectHow::Created {
                        created.push(controller.controller);
                    }
                }
                Err(failure) => {
                    let address = options.address();
                    let error: &(dyn Error + 'static) = &failure;
                    tracing::warn!(%nqn, %address, error, "cannot connect an address");
                    first_failure.get_or_insert(failure);
                }
            }
        }
        match first_failure {
            Some(source) if connected == 0 => Err(AttachError::NoController {
                nqn: nqn.clone(),
                addresses: connects.len(),
                source: Box::new(source),
            }),
            _ => Ok(()),
        }
    }

    /// The device node of a disk, with what it must lead to.
    pub(super) fn node(&self, disk: &Disk) -> DeviceNode {
        DeviceNode {
            path: self.config.root.join("dev").join(&disk.name),
            dev: disk.dev,
            diskseq: disk.diskseq(),
        }
    }
}
