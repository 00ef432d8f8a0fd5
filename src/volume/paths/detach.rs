//! Taking the controllers of a volume away, as far as nobody else needs them.
//!
//! Invariants: under the lock of the subsystem; a controller goes only if this driver connected it,
//! no other record wants its subsystem, and no disk that would lose its last path is in use. What
//! cannot be read is an error and never "not in use".

use nvme_fabrics::DisconnectError;
use nvme_sysfs::{Instance, Namespace, Nqn, ScanError, Subsystem, Tree};
use thiserror::Error;

use super::Paths;
use crate::host::disconnects::disconnect_all;
use crate::host::last_path::find_disks_losing_last_path;
use crate::host::usage::{Look, UsageError, read_usage};
use crate::volume::identity::VolumeIdentity;
use crate::volume::owner::OwnerError;
use crate::volume::record::{Complete, RecordError};
use crate::volume::volume_id::VolumeId;

/// Which controllers of a subsystem may go.
#[derive(Debug, Clone, Copy)]
pub(in crate::volume) enum Reach<'a> {
    /// Every one that this driver connected.
    Ours,
    /// These, which the same call connected.
    Created(&'a [Instance]),
}

/// What is to be detached.
#[derive(Debug, Clone, Copy)]
pub(in crate::volume) struct Leaving<'a> {
    /// The volume that needs the subsystem no more.
    pub(in crate::volume) volume_id: &'a VolumeId,
    /// The subsystem.
    pub(in crate::volume) nqn: &'a Nqn,
    /// The volume's namespace, where it is known.
    pub(in crate::volume) identity: Option<&'a VolumeIdentity>,
    /// Which controllers may go.
    pub(in crate::volume) reach: Reach<'a>,
    /// What a use of the volume's own disk means.
    pub(in crate::volume) own_use: OwnUse,
}

/// What a use of the volume's own disk means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::volume) enum OwnUse {
    /// It is an error.
    Refuse,
    /// It is what shall end: its I/O waits for a target that does not answer.
    Cut,
}

/// What became of the controllers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::volume) enum Detached {
    /// None of those that may go is left.
    Gone,
    /// They stay, for another volume or another namespace.
    Kept,
}

/// Why a volume is still attached.
#[derive(Debug, Error)]
pub enum DetachError {
    /// The records of the other volumes cannot be read.
    #[error("cannot tell whether other volumes need the subsystem")]
    Records(#[from] RecordError),
    /// The NVMe devices cannot be read.
    #[error("cannot read the NVMe devices")]
    Scan(#[from] ScanError),
    /// It cannot be told who connected a controller.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// It cannot be told whether a disk is in use.
    #[error("cannot tell whether the disk {disk} is in use")]
    Usage {
        /// Kernel name of the disk.
        disk: String,
        /// Why.
        source: UsageError,
    },
    /// The volume's own disk is still used.
    #[error("the volume is still in use: {used}")]
    InUse {
        /// The first use that was found.
        used: String,
    },
    /// A controller could not be disconnected.
    #[error("cannot disconnect {controller} of {nqn}")]
    Disconnect {
        /// Which.
        controller: Instance,
        /// Of which subsystem.
        nqn: Nqn,
        /// Why; the log has the failures of further controllers.
        source: DisconnectError,
    },
}

impl Paths {
    /// Disconnects what the volume alone needed. Nothing to disconnect is a success.
    pub(in crate::volume) fn detach(&self, leaving: Leaving<'_>) -> Result<Detached, DetachError> {
        let nqn = leaving.nqn;
        let _subsystem = self.ground.subsystems.lock(nqn);
        if let Some(other) = self.find_other_user(leaving)? {
            tracing::info!(%nqn, %other, "controllers stay for another volume");
            return Ok(Detached::Kept);
        }
        let tree = self.ground.config.trees.scan()?;
        tree.require(nqn)?;
        let controllers = self.find_leaving(&tree, leaving)?;
        match self.find_use(&tree, &controllers, leaving)? {
            Some((true, used)) => Err(DetachError::InUse { used }),
            Some((false, used)) => {
                tracing::info!(%nqn, %used, "controllers stay for another namespace");
                Ok(Detached::Kept)
            }
            None => {
                self.disconnect_all(&controllers, nqn)?;
                Ok(Detached::Gone)
            }
        }
    }

    /// Another volume that wants the subsystem, or may want it: a record that cannot be read.
    fn find_other_user(&self, leaving: Leaving<'_>) -> Result<Option<String>, RecordError> {
        let (records, complete) = &*self.ground.records.read_readable()?;
        let other = records
            .iter()
            .find(|record| record.volume_id != *leaving.volume_id && record.wants(leaving.nqn));
        Ok(match (other, complete) {
            (Some(other), _) => Some(other.volume_id.to_string()),
            (None, Complete::No) => Some("one whose record cannot be read".to_owned()),
            (None, Complete::Yes) => None,
        })
    }

    fn find_leaving(
        &self,
        tree: &Tree,
        leaving: Leaving<'_>,
    ) -> Result<Vec<Instance>, DetachError> {
        let mut controllers = Vec::new();
        for controller in tree.find_subsystems(leaving.nqn).flat_map(instances) {
            // A number may by now be that of somebody else's controller.
            let is_ours = self.ground.owns(controller)?;
            let is_meant = match leaving.reach {
                Reach::Created(created) => created.contains(&controller),
                Reach::Ours => true,
            };
            if is_ours && is_meant {
                controllers.push(controller);
            }
        }
        Ok(controllers)
    }

    /// A use of a disk that would lose its last path, and whether the disk is the volume's own.
    fn find_use(
        &self,
        tree: &Tree,
        controllers: &[Instance],
        leaving: Leaving<'_>,
    ) -> Result<Option<(bool, String)>, DetachError> {
        let is_own = |disk: &Namespace| {
            leaving
                .identity
                .is_some_and(|identity| identity.names(disk))
        };
        let cut = |disk: &Namespace| leaving.own_use == OwnUse::Cut && is_own(disk);
        let losing = find_disks_losing_last_path(tree, controllers);
        let mut losing: Vec<_> = losing.filter(|disk| !cut(disk)).collect();
        // The volume's own first: its use is an error, the use of another is not.
        losing.sort_by_key(|disk| !is_own(disk));
        for disk in losing {
            let look = match tree.subsystems.iter().any(|s| s.is_reachable(disk)) {
                true => Look::Exclusive,
                false => Look::Visible,
            };
            let usage = match read_usage(&self.ground.config.root, &disk.name, look) {
                Ok(usage) => usage,
                Err(UsageError::NoDisk { .. }) => continue,
                Err(source) => {
                    let disk = disk.name.clone();
                    return Err(DetachError::Usage { disk, source });
                }
            };
            if let Some(used) = usage.uses.first() {
                return Ok(Some((is_own(disk), used.to_string())));
            }
            // Nobody could be asked whether an unseen process has it.
            if let Some(gap) = usage
                .gaps
                .first()
                .filter(|_| look == Look::Visible && !is_own(disk))
            {
                let unseen = format!("{} may be in use, for nobody can look at {gap}", disk.name);
                return Ok(Some((false, unseen)));
            }
        }
        Ok(None)
    }

    /// Goes on past a failure, so that one stubborn controller does not keep the others.
    fn disconnect_all(&self, controllers: &[Instance], nqn: &Nqn) -> Result<(), DetachError> {
        let mut first_failure = None;
        let controllers: Vec<_> = controllers.iter().map(|it| (*it, nqn)).collect();
        for (controller, done) in disconnect_all(self.ground.host(), &controllers) {
            if let Err(source) = done {
                let failure: &(dyn std::error::Error + 'static) = &source;
                tracing::warn!(%controller, %nqn, error = failure, "cannot disconnect");
                let nqn = nqn.clone();
                first_failure.get_or_insert(DetachError::Disconnect {
                    controller,
                    nqn,
                    source,
                });
            }
        }
        first_failure.map_or(Ok(()), Err)
    }
}

fn instances(subsystem: &Subsystem) -> impl Iterator<Item = Instance> {
    let controllers = subsystem.controllers.iter();
    controllers.map(|controller| controller.instance)
}
