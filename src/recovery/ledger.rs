//! When to do what: findings and what was tried before in, actions and notices out. Pure: the time is
//! handed in.
//!
//! Invariants: an endpoint is tried for as long as a volume wants it; a target that does not answer
//! is dialled once a second for all volumes together; nothing is told twice.

mod endpoints;
mod media;
mod paths;
mod repairs;
mod retune;
#[cfg(test)]
mod tests;
mod unshown;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nvme_sysfs::{Instance, Nqn};

use super::action::{Action, Came};
use super::detect::Finding;
use crate::host::io_counts::IoCounts;
use crate::report::outcome::Reason;
use crate::volume::VolumeId;
use crate::volume::record::StageRecord;
use crate::volume::standing::Stale;
use endpoints::Endpoints;
use media::{Media, Way};
use paths::Paths;
use repairs::Repairs;
use retune::Retune;
use unshown::Unshown;

/// How long a controller may serve nothing before it is disconnected.
const GRACE: Duration = Duration::from_secs(300);
/// How often a controller without namespaces is told to look for some.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How long a controller shows no namespace before that is told. One that was just connected has none yet: its namespaces
/// follow within a second, and where the kernel has missed them, after one of the first two looks that it is told to take.
const TELL_ORPHAN: Duration = Duration::from_secs(10);
/// How soon a map is looked at again that had no disk to take.
const SWAP_AGAIN: Duration = Duration::from_secs(1);
/// How soon what was cut off is tried again to be finished.
const FINISH_AGAIN: Duration = Duration::from_secs(1);
/// How soon a map is suspended again that could not be.
const SUSPEND_AGAIN: Duration = Duration::from_secs(1);

/// What is known about the past.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    endpoints: Endpoints,
    volumes: BTreeMap<VolumeId, Memory>,
    unwanted: BTreeMap<Instance, Instant>,
    unshown: Unshown,
    running: BTreeSet<Action>,
}

/// Of one volume.
#[derive(Debug, Default)]
struct Memory {
    paths: Paths,
    media: Media,
    repairs: Repairs,
    mismatch: Option<String>,
    /// What others have done to the mounts of the volume, by its place, and whether that was told.
    taken: BTreeMap<PathBuf, (String, bool)>,
    orphans: BTreeMap<Instance, Orphan>,
    retune: Retune,
    swap_at: Option<Instant>,
    suspend_at: Option<Instant>,
    /// When a map is told again to queue, or to let go, whose change was cut off.
    finish_at: Option<Instant>,
    swap_told: Option<String>,
}

/// A controller that shows no namespace.
#[derive(Debug)]
struct Orphan {
    since: Instant,
    /// When it is told to look again.
    look_at: Instant,
    told: bool,
}

/// One volume as it was seen.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// Its record.
    pub(super) record: StageRecord,
    /// What is wrong with it.
    pub(super) findings: Vec<Finding>,
    /// Where it is mounted, if something is wrong with that.
    pub(super) mounts: Vec<PathBuf>,
    /// The I/O of its map that is under way.
    pub(super) io: Option<IoCounts>,
}

/// Something that users should hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    /// About which volume.
    pub(super) volume: VolumeId,
    /// What it is.
    pub(super) reason: Reason,
    /// What was seen.
    pub(super) message: String,
}

/// What is to be done now.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// To be carried out.
    pub(super) actions: Vec<Action>,
    /// To be told.
    pub(super) notices: Vec<Notice>,
    /// Mounts that were found stale.
    pub(super) stale: Vec<Stale>,
    /// Outages that ended, with their lengths.
    pub(super) outages: Vec<Duration>,
}

impl Plan {
    fn tell(&mut self, volume: &VolumeId, reason: Reason, message: impl Into<String>) {
        self.notices.push(Notice {
            volume: volume.clone(),
            reason,
            message: message.into(),
        });
    }
}

impl Ledger {
    /// What there is to do about what was seen.
    pub(super) fn plan(
        &mut self,
        now: Instant,
        seen: &[Seen],
        unwanted: &[(Instance, Nqn)],
    ) -> Plan {
        let mut plan = Plan::default();
        self.volumes
            .retain(|id, _| seen.iter().any(|seen| seen.record.volume_id == *id));
        self.endpoints.keep_wanted(seen);
        for seen in seen {
            let id = seen.record.volume_id.clone();
            let mut memory = self.volumes.remove(&id).unwrap_or_default();
            memory.plan(now, seen, &mut plan);
            self.endpoints.plan(now, seen, &mut plan);
            self.volumes.insert(id, memory);
        }
        self.plan_unwanted(now, unwanted, &mut plan);
        self.unshown.plan(now, seen, &mut plan);
        // The errors of a map are let through in several steps, which are not to be taken for one left halfway.
        let is_passing = |action: &Action| match action {
            Action::BringBack(id) => self.running.contains(&Action::PassErrors(id.clone())),
            _ => false,
        };
        plan.actions.retain(|action| !is_passing(action));
        plan.actions
            .retain(|action| self.running.insert(action.clone()));
        for action in &plan.actions {
            self.endpoints.started(action, seen);
        }
        plan
    }

    /// What came of an action.
    pub(super) fn ended(&mut self, now: Instant, action: &Action, came: &Came, plan: &mut Plan) {
        self.running.remove(action);
        match action {
            Action::Reach { volume, endpoint } => {
                let lost = self.volumes.get(volume).is_some_and(|m| m.paths.are_lost());
                self.endpoints
                    .ended(now, (volume, *endpoint), came, lost, plan);
            }
            Action::Repair(volume) => {
                if let Some(memory) = self.volumes.get_mut(volume) {
                    memory.repairs.ended(now, volume, came, plan);
                }
            }
            Action::BringBack(volume) => {
                if let Some(memory) = self.volumes.get_mut(volume) {
                    memory.swap_ended(now, volume, came, plan);
                }
            }
            Action::Drop { controller, .. } => {
                self.unwanted.remove(controller);
                // One that has to stay is left for as long again.
                for memory in self.volumes.values_mut() {
                    if let Some(orphan) = memory.orphans.get_mut(controller) {
                        orphan.since = now;
                    }
                }
            }
            Action::GiveUp(volume) | Action::GiveUpStuck { volume, .. } => {
                if let Some(memory) = self.volumes.get_mut(volume).filter(|_| *came == Came::Done) {
                    memory.paths.forget_failures();
                }
            }
            Action::PassErrors(volume) => {
                if let Some(memory) = self.volumes.get_mut(volume) {
                    memory.pass_ended(now, volume, came, plan);
                }
            }
            Action::Suspend(volume) => {
                if let Some(memory) = self.volumes.get_mut(volume) {
                    memory.paths.disturbed();
                    // Its paths may have been failed by us.
                    memory.paths.forget_failures();
                    memory.media.lost();
                }
            }
            Action::Retune(volume) => {
                if let Some(memory) = self.volumes.get_mut(volume) {
                    memory.retune.ended(volume, came, plan);
                }
            }
            Action::LookAgain { .. } | Action::Queue(_) => {}
        }
    }

    /// Of how many volumes I/O waits now, by the word of their hold.
    pub(super) fn count_held(&self, seen: &[Seen]) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::from([("dm", 0), ("native", 0), ("none", 0)]);
        for seen in seen {
            if let Some(hold) = &seen.record.hold
                && seen.findings.contains(&Finding::NoPath)
            {
                *counts.entry(hold.as_str()).or_default() += 1;
            }
        }
        counts
    }

    fn plan_unwanted(&mut self, now: Instant, unwanted: &[(Instance, Nqn)], plan: &mut Plan) {
        self.unwanted
            .retain(|known, _| unwanted.iter().any(|(controller, _)| controller == known));
        for (controller, nqn) in unwanted {
            let since = *self.unwanted.entry(*controller).or_insert(now);
            if now.duration_since(since) >= GRACE {
                plan.actions.push(Action::Drop {
                    controller: *controller,
                    nqn: nqn.clone(),
                });
            }
        }
    }
}

impl Memory {
    fn plan(&mut self, now: Instant, seen: &Seen, plan: &mut Plan) {
        let id = &seen.record.volume_id;
        let way = self.media.plan(now, seen, plan);
        if way == Way::Reinstate {
            self.paths.plan(now, seen, plan);
        }
        self.repairs.plan(now, seen, plan);
        self.plan_mismatch(id, &seen.findings, plan);
        self.plan_taken(seen, plan);
        self.plan_orphans(now, seen, plan);
        let is_due = |at: Option<Instant>| at.is_none_or(|at| now >= at);
        let has = |wanted: fn(&Finding) -> bool| seen.findings.iter().any(wanted);
        let gives_up = plan.actions.contains(&Action::GiveUp(id.clone()));
        let is_lost = gives_up && self.paths.keeps_failing(now);
        let is_behind = has(|f| matches!(f, Finding::MapBehind | Finding::MapFailed));
        if is_behind && way == Way::Reinstate && is_due(self.swap_at) && !is_lost {
            plan.actions.push(Action::BringBack(id.clone()));
        }
        let is_lost = has(|f| matches!(f, Finding::MapSpinning | Finding::MapExposed));
        if is_lost && is_due(self.suspend_at) {
            self.suspend_at = Some(now + SUSPEND_AGAIN);
            plan.actions.push(Action::Suspend(id.clone()));
        }
        let queues_not = has(|finding| *finding == Finding::MapUnqueued);
        let is_letting_go = has(|finding| *finding == Finding::MapLettingGo);
        if (queues_not || is_letting_go) && is_due(self.finish_at) {
            self.finish_at = Some(now + FINISH_AGAIN);
            plan.actions.push(match queues_not {
                true => Action::Queue(id.clone()),
                false => Action::GiveUp(id.clone()),
            });
        }
        self.retune.plan(now, id, &seen.findings, plan);
    }

    fn plan_mismatch(&mut self, id: &VolumeId, findings: &[Finding], plan: &mut Plan) {
        let mismatch = findings.iter().find_map(|finding| match finding {
            Finding::IdentityMismatch(what) => Some(what.clone()),
            _ => None,
        });
        if let Some(what) = mismatch.as_ref().filter(|_| mismatch != self.mismatch) {
            plan.tell(id, Reason::IdentityMismatch, what);
        }
        self.mismatch = mismatch;
    }

    /// What others have mounted, or unmounted, is their business: it is only told. A target that is not mounted may also be
    /// what a process of ours left that was killed.
    fn plan_taken(&mut self, seen: &Seen, plan: &mut Plan) {
        let taken = seen.findings.iter().filter_map(|finding| match finding {
            Finding::Taken { path, what } => Some((path, what)),
            _ => None,
        });
        let taken: BTreeMap<&PathBuf, &String> = taken.collect();
        let record = &seen.record;
        // A call takes the finding away for a while: what was told is not told again.
        self.taken.retain(|path, (_, told)| {
            let is_place =
                record.staging_target_path == *path || record.find_publication(path).is_some();
            taken.contains_key(path) || *told && is_place
        });
        for (path, what) in taken {
            match self.taken.get_mut(path) {
                Some((known, told)) if known == what => {
                    if !std::mem::replace(told, true) {
                        let message = format!("{what}, and it stays so");
                        plan.tell(&record.volume_id, Reason::MountFailure, message);
                    }
                }
                // A look may fall into the middle of a call: it is told when it is seen again.
                _ => drop(self.taken.insert(path.clone(), (what.clone(), false))),
            }
        }
    }

    fn plan_orphans(&mut self, now: Instant, seen: &Seen, plan: &mut Plan) {
        let id = &seen.record.volume_id;
        let orphans: BTreeSet<Instance> = seen
            .findings
            .iter()
            .filter_map(|finding| match finding {
                Finding::Orphan(controller) => Some(*controller),
                _ => None,
            })
            .collect();
        self.orphans.retain(|known, orphan| {
            let stays = orphans.contains(known);
            if !stays && orphan.told {
                let message = format!("{known} serves a namespace again, or is gone");
                plan.tell(id, Reason::OrphanCleaned, message);
            }
            stays
        });
        for controller in orphans {
            let orphan = self.orphans.entry(controller).or_insert(Orphan {
                since: now,
                look_at: now,
                told: false,
            });
            let passed = now.duration_since(orphan.since);
            if passed >= TELL_ORPHAN && !std::mem::replace(&mut orphan.told, true) {
                let message = format!("{controller} is live and serves no namespace");
                plan.tell(id, Reason::OrphanDetected, message);
            }
            if passed >= GRACE {
                plan.actions.push(Action::Drop {
                    controller,
                    nqn: seen.record.source.nqn.clone(),
                });
            } else if now >= orphan.look_at {
                orphan.look_at = now + LOOK_AGAIN;
                let volume = id.clone();
                plan.actions.push(Action::LookAgain { volume, controller });
            }
        }
    }

    fn pass_ended(&mut self, now: Instant, id: &VolumeId, came: &Came, plan: &mut Plan) {
        self.media.ended(now, came);
        if *came == Came::Done {
            self.paths.forget_failures();
        }
        self.swap_ended(now, id, came, plan);
    }

    fn swap_ended(&mut self, now: Instant, id: &VolumeId, came: &Came, plan: &mut Plan) {
        let error = match came {
            Came::Failed(error) => Some(error.clone()),
            _ => None,
        };
        if *came == Came::Reinstated {
            self.paths.reinstated(now);
            self.media.reinstated(now);
        }
        let done = matches!(came, Came::Done | Came::Reinstated);
        if done {
            self.paths.disturbed();
        }
        self.swap_at = (!done).then(|| now + SWAP_AGAIN);
        if let Some(error) = error.as_ref().filter(|_| error != self.swap_told) {
            plan.tell(id, Reason::RecoveryFailed, error);
        }
        self.swap_told = error;
    }
}
