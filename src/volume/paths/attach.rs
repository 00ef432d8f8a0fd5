//! From a source to a usable disk: connect every address, wait for the namespace, prove it.
//!
//! Invariants: one address that works is enough, the others are tried again at the next call; the
//! disk that comes out is never the hidden path form and has a device node; controllers that this
//! call made are told to the caller, also when it fails.

use std::error::Error;
use std::time::Duration;

use nvme_fabrics::{ConnectError, ConnectHow, ConnectOptions, Connected, OptionsError, Tuning};
use nvme_sysfs::{
    AmbiguousNamespace, Controller, ControllerLoss, Instance, Namespace, Nqn, ScanError, Transport,
    Tree,
};
use thiserror::Error;

use super::options::connect_options;
use super::{Paths, dial};
use crate::causes::chain;
use crate::host::blocking::Caller;
use crate::volume::hold::Hold;
use crate::volume::identity::Disk;
use crate::volume::request::Secrets;
use crate::volume::source::Source;

/// A volume's namespace on this node.
#[derive(Debug, Clone)]
pub(in crate::volume) struct Attached {
    /// As it was found.
    pub(in crate::volume) namespace: Namespace,
    /// Its disk.
    pub(in crate::volume) disk: Disk,
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

impl Paths {
    /// Connects the source and returns its namespace. The controllers that were not there before are
    /// added to `created`.
    pub(in crate::volume) fn attach(
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
    pub(in crate::volume) fn connect(
        &self,
        source: &Source,
        (hold, caller): (&Hold, &Caller),
        secrets: &Secrets,
        created: &mut Vec<Instance>,
    ) -> Result<(), AttachError> {
        let connects = connect_options(source, hold, secrets, &self.ground.config.identity)?;
        let _subsystem = self.ground.subsystems.lock(&source.nqn);
        let answers = dial::connect_all(&connects, caller, |options| self.dial(options));
        self.take_answers(source, (&connects, answers), created)
    }

    fn take_answers(
        &self,
        source: &Source,
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
            None if connected == 0 => Err(AttachError::GivenUp { nqn: nqn.clone() }),
            _ => Ok(()),
        }
    }

    /// Lets the kernel keep the controllers that this driver connected and that give up at once, for a volume that gets no
    /// map: they were made for one that was to have one.
    pub(in crate::volume) fn keep_controllers(&self, source: &Source, hold: &Hold, tree: &Tree) {
        if source.transport == Transport::Loop {
            return;
        }
        let tuning = Tuning {
            ctrl_loss_tmo: Some(source.controller_loss(hold)),
            ..Tuning::default()
        };
        let nqn = &source.nqn;
        let at_once = ControllerLoss::After(Duration::ZERO);
        let gives_up = |controller: &&Controller| controller.ctrl_loss_tmo == Some(at_once);
        let asked = tree
            .controllers()
            .filter(|controller| source.asks_for(controller, &self.ground.identity().hostnqn))
            .filter(gives_up);
        for controller in asked.map(|controller| controller.instance) {
            let done = self.ground.owns(controller).map_err(|error| chain(&error));
            let done = done.and_then(|owns| match owns {
                true => self
                    .ground
                    .host()
                    .tune(controller, nqn, &tuning)
                    .map_err(|error| chain(&error)),
                false => Ok(()),
            });
            if let Err(error) = done {
                tracing::warn!(%controller, %nqn, error, "the kernel gives a lost controller up at once");
            }
        }
    }
}
