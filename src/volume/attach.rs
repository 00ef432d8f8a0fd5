//! From a source to a usable disk: connect every address, wait for the namespace, prove it.
//!
//! Invariants: one address that works is enough, the others are tried again at the next call; the
//! disk that comes out is never the hidden path form and has a device node; controllers that this
//! call made are told to the caller, also when it fails.

mod dial;
mod options;
mod wait;

use std::error::Error;
use std::time::Duration;

use nvme_fabrics::{ConnectError, ConnectHow, ConnectOptions, Connected, OptionsError, Tuning};
use nvme_sysfs::{AmbiguousNamespace, Instance, Namespace, Nqn, ScanError, Transport, Tree};
use thiserror::Error;

use super::hold::Hold;
use super::identity::Disk;
use super::request::Secrets;
use super::source::Source;
use super::volumes::Volumes;
use crate::host::DeviceNode;
use crate::host::blocking::Caller;
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
    /// Nobody waits for the volume any more, and nothing of it was connected by then.
    #[error("no address of {nqn} was connected before the caller gave up")]
    GivenUp {
        /// The subsystem.
        nqn: Nqn,
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
        on: (&Hold, &Caller),
        secrets: &Secrets,
        created: &mut Vec<Instance>,
    ) -> Result<Attached, AttachError> {
        self.connect(source, on, secrets, created)?;
        self.wait_for_namespace(source)
    }

    /// Connects every address of the source that is not connected, unless the caller goes meanwhile.
    pub(super) fn connect(
        &self,
        source: &Source,
        (hold, caller): (&Hold, &Caller),
        secrets: &Secrets,
        created: &mut Vec<Instance>,
    ) -> Result<(), AttachError> {
        let connects = connect_options(source, hold, secrets, &self.config.identity)?;
        let _subsystem = self.subsystems.lock(&source.nqn);
        let answers = dial::connect_all(self.host(), caller, &connects);
        self.take_answers(source, hold, (&connects, answers), created)
    }

    fn take_answers(
        &self,
        source: &Source,
        hold: &Hold,
        (connects, answers): (&[ConnectOptions], Vec<Result<Connected, ConnectError>>),
        created: &mut Vec<Instance>,
    ) -> Result<(), AttachError> {
        let nqn = &source.nqn;
        let mut first_failure = None;
        let mut connected = 0;
        for (options, answer) in connects.iter().zip(answers) {
            match answer {
                Ok(controller) => {
                    connected += 1;
                    match controller.how {
                        ConnectHow::Created => created.push(controller.controller),
                        ConnectHow::Adopted if hold.map().is_some() => {
                            self.tune(source, hold, controller.controller);
                        }
                        ConnectHow::Adopted => {}
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
            None if connected == 0 => Err(AttachError::GivenUp { nqn: nqn.clone() }),
            _ => Ok(()),
        }
    }

    /// Lets the kernel treat the loss of a controller as the hold of its volumes needs it, unless the
    /// user has said otherwise. What waits below a map is sent before anything is compared, so there
    /// the kernel shall drop the controller at once.
    pub(super) fn tune(&self, source: &Source, hold: &Hold, controller: Instance) {
        if source.tuning.ctrl_loss_tmo.is_some() || source.transport == Transport::Loop {
            return;
        }
        let tuning = Tuning {
            ctrl_loss_tmo: Some(hold.controller_loss()),
            ..Tuning::default()
        };
        let nqn = &source.nqn;
        if let Err(error) = self.host().tune(controller, nqn, &tuning) {
            let error: &(dyn Error + 'static) = &error;
            tracing::warn!(
                %controller, %nqn, error,
                "a controller keeps another ctrl_loss_tmo than the hold of its volumes needs"
            );
        }
    }

    /// Tunes every controller of a source.
    pub(super) fn tune_all(&self, source: &Source, hold: &Hold, tree: &Tree) {
        let ours = tree
            .controllers()
            .filter(|controller| source.asks_for(controller, &self.identity().hostnqn));
        for controller in ours {
            self.tune(source, hold, controller.instance);
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
