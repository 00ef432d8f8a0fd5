//! Controllers that would keep the I/O of a held volume.
//!
//! What waits in a map goes nowhere before its new disk was proved. What waits below it, in a head, is sent by the kernel
//! as soon as any controller of that head is live again, before anything is compared: by one that outlives a loss
//! (`ctrl_loss_tmo` above 0) to whatever stands behind the name by then. So every controller that carries the disk of a
//! held volume must give up at once, whoever connected it, wherever it leads and in whose name.
//!
//! Invariant: a controller that is not ours is left as it is where somebody else uses another disk that it carries: that
//! one would fail at the next loss, which it survived before.

use std::path::Path;
use std::time::{Duration, Instant};

use nvme_fabrics::{Owner, TuneError, Tuning};
use nvme_sysfs::{Controller, ControllerLoss, Instance, Namespace, Nqn, Tree};
use thiserror::Error;

use super::super::identity::VolumeIdentity;
use super::super::owner::{OwnerError, is_driver, read_owner};
use super::super::record::{RecordError, StageRecord, Staged};
use super::super::source::PathLossHold;
use super::super::standing::carrier::{find_keeping, find_outliving};
use super::Hold;
use super::holds::{Holds, Reason};
use crate::causes::chain;
use crate::host::requirements::missing_for_maps;
use crate::host::usage::{Look, UsageError, find_any_use};

/// What a namespace without an identifier of its own cannot have.
pub(super) const NOT_UNIQUE: &str =
    "the namespace has no uuid, nguid or eui64 by which it could be told from another";
/// Of a volume that is staged without a map, which is decided once.
const PASSED: &str = "what kept it from a map has passed; it gets one when it is staged anew";

/// How long it serves why a volume is not held: its statistics and its health are asked for one after the other.
const REASON_LASTS: Duration = Duration::from_secs(5);

/// Why the I/O of a volume may wait where a map does not hold it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{controller} carries its disk and outlives a loss: {why}")]
pub struct Keeping {
    /// Which controller.
    pub controller: Instance,
    /// Why it is left like that.
    pub why: String,
}

/// Why a volume is not held by a map.
#[derive(Debug, Error)]
pub enum CompanyError {
    /// A controller keeps its I/O.
    #[error(transparent)]
    Keeping(#[from] Keeping),
    /// The records cannot be read.
    #[error("cannot tell which disks are volumes of this driver")]
    Records(#[source] Box<RecordError>),
    /// It cannot be told who connected a controller.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// It cannot be told whether a disk is in use.
    #[error("cannot tell whether another disk of the subsystem is in use")]
    Usage(#[source] Box<UsageError>),
}

impl From<RecordError> for CompanyError {
    fn from(error: RecordError) -> CompanyError {
        CompanyError::Records(Box::new(error))
    }
}

impl From<UsageError> for CompanyError {
    fn from(error: UsageError) -> CompanyError {
        CompanyError::Usage(Box::new(error))
    }
}

/// What tells whom a map over the disk of a volume would hurt.
#[derive(Debug)]
pub(in crate::volume) struct Company<'a> {
    /// Where sys, proc and run are found.
    pub(in crate::volume) root: &'a Path,
    /// Whose controllers are ours; any driver's of this program where that is not known.
    pub(in crate::volume) driver: Option<&'a str>,
    /// The volumes of this driver.
    pub(in crate::volume) records: &'a [StageRecord],
    /// The NVMe devices.
    pub(in crate::volume) tree: &'a Tree,
}

impl Company<'_> {
    /// Why the I/O of a staged volume is not held by a map, or not all of it, though it was to be: as far as that can be
    /// seen now, for nobody writes it down.
    pub(in crate::volume) fn find_reason(&self, record: &StageRecord) -> Option<String> {
        let identity = &record.staged()?.identity;
        let spared = || match self.find_spared(&record.source.nqn, identity) {
            Ok(keeping) => keeping.map(|keeping| keeping.to_string()),
            Err(error) => Some(format!("it cannot be told why: {}", chain(&error))),
        };
        match (record.hold.as_ref()?, record.source.hold) {
            (Hold::Dm(_), _) => find_keeping(record, self.tree)
                .first()
                .and_then(|_| spared()),
            (Hold::Native | Hold::None, PathLossHold::Auto) if self.may_have_map(record) => {
                if !identity.is_unique() {
                    return Some(format!("{NOT_UNIQUE}; give it one at the target"));
                }
                spared().or_else(|| self.find_beside(record))
            }
            (Hold::Native | Hold::None, _) => None,
        }
    }

    /// The other staged volumes of the subsystem.
    fn siblings(&self, record: &StageRecord) -> impl Iterator<Item = (&StageRecord, &Staged)> {
        let others = self
            .records
            .iter()
            .filter(|it| it.volume_id != record.volume_id && it.wants(&record.source.nqn));
        others.filter_map(|it| Some((it, it.staged()?)))
    }

    /// Whether there are maps here, and no other volume of the subsystem was to have none.
    fn may_have_map(&self, record: &StageRecord) -> bool {
        let was_to_have =
            |it: &StageRecord| matches!(it.source.hold, PathLossHold::Auto | PathLossHold::Dm);
        self.siblings(record).all(|(it, _)| was_to_have(it))
            && missing_for_maps(self.root).is_none()
    }

    /// Why a volume that nothing else keeps from a map has none: for volumes of one subsystem all have one or none has.
    /// Beside one that can never have any nothing can be done.
    fn find_beside(&self, record: &StageRecord) -> Option<String> {
        let mut without = self
            .siblings(record)
            .filter(|(it, _)| it.map().is_none())
            .peekable();
        let Some((first, _)) = without.peek().copied() else {
            return Some(PASSED.to_owned());
        };
        let can_have = without.all(|(_, staged)| staged.identity.is_unique());
        can_have.then(|| {
            let other = &first.volume_id;
            format!(
                "{other} of the same subsystem has no map; both get one when both are staged anew"
            )
        })
    }

    /// The first controller of the disk of a volume that outlives a loss and must not be tuned.
    ///
    /// # Errors
    /// [`CompanyError`].
    pub(super) fn find_spared(
        &self,
        nqn: &Nqn,
        identity: &VolumeIdentity,
    ) -> Result<Option<Keeping>, CompanyError> {
        for controller in find_outliving(self.tree, nqn, identity) {
            if let Some(why) = self.find_foreign_use(controller, identity)? {
                let controller = controller.instance;
                return Ok(Some(Keeping { controller, why }));
            }
        }
        Ok(None)
    }

    /// A use of another disk that a controller of others carries, which is no volume held by a map of ours. Another driver
    /// of this program may have given a raw disk to a pod that has it not open just now.
    fn find_foreign_use(
        &self,
        controller: &Controller,
        identity: &VolumeIdentity,
    ) -> Result<Option<String>, CompanyError> {
        let owner = read_owner(self.root, controller.instance)?;
        if is_driver(owner.as_ref(), self.driver) {
            return Ok(None);
        }
        let is_held = |disk: &Namespace| {
            let mut held = self.records.iter().filter(|record| record.map().is_some());
            held.any(|record| record.identity().is_some_and(|it| it.names(disk)))
        };
        let others = self.tree.namespaces();
        let mut others = others
            .filter(|disk| controller.carries(disk) && !identity.names(disk) && !is_held(disk))
            .peekable();
        let Some(first) = others.peek() else {
            return Ok(None);
        };
        if let Some(Owner::Driver(driver)) = owner {
            let disk = &first.name;
            return Ok(Some(format!(
                "{disk} behind it may be a volume of {driver}"
            )));
        }
        let used = find_any_use(self.root, others, Look::Visible)?;
        Ok(used.map(|used| format!("somebody else uses another disk behind it, {used}")))
    }
}

impl Holds {
    /// Why the I/O of a volume is not held by a map, or not all of it. Who uses the other disks is asked of every process of
    /// this node, so that an answer serves for a while.
    ///
    /// # Errors
    /// [`RecordError`].
    pub(in crate::volume) fn why_not_held(
        &self,
        record: &StageRecord,
        tree: &Tree,
    ) -> Result<Option<String>, RecordError> {
        let id = &record.volume_id;
        let kept = self.reasons().get(id).cloned();
        let kept = kept.filter(|kept| kept.found.elapsed() < REASON_LASTS);
        let reason = match kept {
            Some(kept) => kept.why,
            None => {
                let (records, _) = &*self.ground.records.read_readable()?;
                let why = self.company(records, tree).find_reason(record);
                let found = Instant::now();
                let reason = Reason {
                    found,
                    why: why.clone(),
                };
                self.reasons().insert(id.clone(), reason);
                why
            }
        };
        Ok(reason.or_else(|| self.not_held().get(id).cloned()))
    }

    /// What tells whom a map would hurt.
    pub(in crate::volume) fn company<'a>(
        &'a self,
        records: &'a [StageRecord],
        tree: &'a Tree,
    ) -> Company<'a> {
        Company {
            root: &self.ground.config.root,
            driver: Some(&self.ground.config.driver),
            records,
            tree,
        }
    }

    /// Has every controller that carries the disk of a held volume give up at once, as far as that hurts nobody else. Those
    /// that were changed are added to `tuned`, with what they had.
    ///
    /// # Errors
    /// [`CompanyError`] with the first controller that stays as it is.
    pub(in crate::volume) fn give_up_at_once(
        &self,
        tree: &Tree,
        nqn: &Nqn,
        identity: &VolumeIdentity,
        tuned: &mut Vec<(Instance, ControllerLoss)>,
    ) -> Result<(), CompanyError> {
        let (records, _) = &*self.ground.records.read_readable()?;
        let company = self.company(records, tree);
        let mut spared = None;
        for controller in find_outliving(tree, nqn, identity) {
            let why = match company.find_foreign_use(controller, identity)? {
                Some(used) => Some(used),
                None => self.tune_to_give_up(controller.instance, nqn),
            };
            if why.is_none() {
                tuned.extend(
                    controller
                        .ctrl_loss_tmo
                        .map(|loss| (controller.instance, loss)),
                );
            }
            let controller = controller.instance;
            spared = spared.or(why.map(|why| Keeping { controller, why }));
        }
        spared.map_or(Ok(()), |keeping| Err(keeping.into()))
    }

    /// Why a controller could not be tuned. One that has gone meanwhile keeps nothing.
    fn tune_to_give_up(&self, controller: Instance, nqn: &Nqn) -> Option<String> {
        let tuning = Tuning {
            ctrl_loss_tmo: Some(ControllerLoss::After(Duration::ZERO)),
            ..Tuning::default()
        };
        match self.ground.host().tune(controller, nqn, &tuning) {
            Ok(()) | Err(TuneError::Missing { .. } | TuneError::OtherSubsystem { .. }) => None,
            Err(error) => Some(format!(
                "its ctrl_loss_tmo cannot be set, {}",
                chain(&error)
            )),
        }
    }
}
