//! The task that keeps volumes: woken by each change and by a timer, it looks, plans, and lets threads
//! carry it out.
//!
//! Several sets of threads, so that a target that takes long to answer a connect, or a filesystem whose
//! check takes long, never holds up a look, or a map that waits for its disk. Invariant: an action that was begun is waited for to its end; what it
//! found is taken into account before the next one of its kind.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use nvme_sysfs::{Controller, DevT, Instance, Nqn};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::action::{Action, Came};
use super::apply::apply;
use super::detect::{Finding, detect, find_unwanted};
use super::ledger::{Ledger, Notice, Plan, Seen};
use super::removals::Removals;
use crate::causes::chain;
use crate::host::blocking::Blocking;
use crate::report::metrics::Metrics;
use crate::report::outcome::{ClaimRef, Outcome, PodRef};
use crate::report::reporter::Reporter;
use crate::volume::record::{Complete, StageRecord};
use crate::volume::standing::mounted_at;
use crate::volume::{Sight, VolumeId, Volumes};
use crate::watch::{Snapshot, Trees};

/// Longest time between two looks while volumes are staged: a path that goes down emits no uevent.
const PERIOD: Duration = Duration::from_secs(1);
/// The same while none is.
const PERIOD_IDLE: Duration = Duration::from_secs(5);
/// A look that takes longer than this keeps what is under way from the processor.
const SLOW: Duration = Duration::from_millis(100);
/// How long a slow look is rested from, in times of its own length.
const REST: u32 = 2;
/// And no longer than this.
const LONGEST_REST: Duration = Duration::from_secs(1);
/// How long each of the two last deeds may take: a connect is over by then, if it is not a long one.
const ENDING: Duration = Duration::from_secs(4);
/// How long an action is waited for: to its end.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How many targets may keep a connect waiting at the same time.
const CONNECTING: usize = 4;
/// How many volumes are repaired at the same time: an e2fsck may take an hour.
const REPAIRING: usize = 2;
/// How many volumes are let go at the same time: a controller with a silent peer takes a minute to go.
const LEAVING: usize = 8;
/// How many volumes are looked after at the same time beside that.
const OTHERS: usize = 4;

/// Keeps the volumes that are staged here.
#[derive(Debug)]
pub struct Keeper {
    volumes: Arc<Volumes>,
    trees: Trees,
    metrics: Arc<Metrics>,
    looking: Blocking,
    connecting: Blocking,
    repairing: Blocking,
    leaving: Blocking,
    others: Blocking,
    removals: Removals,
    ledger: Ledger,
    reporter: Reporter,
    /// Claim and pods of what was seen last.
    users: BTreeMap<VolumeId, (Option<ClaimRef>, Vec<PodRef>)>,
    running: JoinSet<(Action, Came)>,
    /// Why the last look failed, if it did: it is told once.
    blind: Option<String>,
}

/// What one look found.
#[derive(Debug, Default)]
struct Observation {
    seen: Vec<Seen>,
    unwanted: Vec<(Instance, Nqn)>,
    /// Whose map each disk is below.
    below: BTreeMap<DevT, VolumeId>,
}

impl Observation {
    /// Whether there is nothing to do.
    fn is_all_well(&self) -> bool {
        self.unwanted.is_empty() && self.seen.iter().all(|seen| seen.findings.is_empty())
    }
}

impl Keeper {
    /// Starts the threads.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn new(
        volumes: Arc<Volumes>,
        trees: Trees,
        metrics: Arc<Metrics>,
        reporter: Reporter,
    ) -> io::Result<Keeper> {
        let threads = |number| NonZeroUsize::new(number).expect("not zero");
        Ok(Keeper {
            volumes,
            trees,
            metrics,
            looking: Blocking::new("look", threads(1))?,
            connecting: Blocking::new("connect", threads(CONNECTING))?,
            repairing: Blocking::new("repair", threads(REPAIRING))?,
            leaving: Blocking::new("leave", threads(LEAVING))?,
            others: Blocking::new("keep", threads(OTHERS))?,
            removals: Removals::default(),
            ledger: Ledger::default(),
            reporter,
            users: BTreeMap::new(),
            running: JoinSet::new(),
            blind: None,
        })
    }

    /// Keeps the volumes until `stopped` is dropped on its other side. What is under way then goes on
    /// to its end, and no map is left that waits at the cost of a processor.
    pub async fn run(mut self, mut stopped: watch::Receiver<()>) {
        let mut changes = self.trees.subscribe();
        self.removals.follow(&self.volumes);
        self.adopt().await;
        let mut just_read = None;
        loop {
            if just_read.is_none() {
                // The look reads everything anew.
                changes.mark_unchanged();
            }
            let began = Instant::now();
            let seen = self.look(just_read.take()).await;
            let rested = Instant::now() + rest_after(began.elapsed());
            let idle = seen.is_empty() && self.running.is_empty();
            let due = Instant::now() + if idle { PERIOD_IDLE } else { PERIOD };
            tokio::select! {
                woken = rest_and_wait(rested, due, &mut changes) => {
                    changes.mark_unchanged();
                    just_read = woken.then(|| self.trees.last()).flatten();
                }
                Some(done) = self.running.join_next() => {
                    if let Ok((action, came)) = done {
                        self.ended(&action, &came);
                    }
                }
                // Nothing is ever sent: this is the end of the sending side.
                _ = stopped.changed() => {
                    self.end().await;
                    return;
                }
            }
            while let Ok(Some(Ok((action, came)))) =
                timeout_at(rested, self.running.join_next()).await
            {
                self.ended(&action, &came);
                // It may have been done since the tree was read.
                just_read = None;
            }
        }
    }

    /// Lets what is under way end, for a process that ends within a change of a map gives it up halfway, and suspends
    /// what has just lost its last path: nobody will be there to do that.
    async fn end(&mut self) {
        self.removals.end();
        let until = Instant::now() + ENDING;
        while let Ok(Some(_)) = timeout_at(until, self.running.join_next()).await {}
        self.running.detach_all();
        let volumes = Arc::clone(&self.volumes);
        let until = (Instant::now() + ENDING).into_std();
        let suspend = move || {
            volumes
                .holds()
                .suspend_all(until)
                .map_err(|error| chain(&error))
        };
        let done = self.looking.run(FOR_EVER, "suspend", suspend).await;
        if let Err(error) = done.unwrap_or_else(|error| Err(chain(&error))) {
            tracing::warn!(error, "a map may wait at the cost of a processor");
        }
    }

    /// Does for what is there already what is done for what is made.
    async fn adopt(&self) {
        let volumes = Arc::clone(&self.volumes);
        let adopt = move || {
            if let Err(error) = volumes.paths().claim_left_behind() {
                let error = chain(&error);
                tracing::warn!(error, "it cannot be told which controllers are ours");
            }
            volumes.holds().limit_dirty_of_maps().map_err(|e| chain(&e))
        };
        match self.others.run(FOR_EVER, "adopt", adopt).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error, "the maps of this node have no limit yet"),
            Err(error) => tracing::error!(error = chain(&error), "nothing was adopted"),
        }
    }

    /// Looks at everything and starts what is to be done.
    async fn look(&mut self, just_read: Option<Snapshot>) -> Vec<Seen> {
        let volumes = Arc::clone(&self.volumes);
        let look = move || observe(&volumes, just_read);
        let look = self.looking.run(FOR_EVER, "look", look);
        let observation = match look.await {
            Ok(Ok(observation)) => observation,
            Ok(Err(error)) => {
                if self.blind.as_ref() != Some(&error) {
                    tracing::warn!(error, "the volumes of this node cannot be judged");
                }
                self.blind = Some(error);
                return Vec::new();
            }
            Err(error) => {
                tracing::error!(error = chain(&error), "a look at the volumes failed");
                return Vec::new();
            }
        };
        self.blind = None;
        let now = Instant::now().into_std();
        let Observation {
            seen,
            unwanted,
            below,
        } = observation;
        self.removals.know(below);
        let records = seen.iter().map(|seen| &seen.record);
        let users = records.map(|r| (r.volume_id.clone(), (r.claim.clone(), r.pods())));
        self.users = users.collect();
        let plan = self.ledger.plan(now, &seen, &unwanted);
        self.metrics
            .recovery()
            .holds(&self.ledger.count_held(&seen));
        self.carry_out(plan);
        seen
    }

    fn carry_out(&mut self, plan: Plan) {
        for stale in plan.stale {
            self.metrics.recovery().stale_mount(stale.as_str());
        }
        for outage in plan.outages {
            self.metrics.recovery().path_outage(outage);
        }
        for notice in plan.notices {
            self.tell(notice);
        }
        for action in plan.actions {
            tracing::debug!(?action, "recovery begins");
            let threads = match action {
                Action::Reach { .. } => self.connecting.clone(),
                Action::Drop { .. } | Action::GiveUp(_) | Action::GiveUpStuck { .. } => {
                    self.leaving.clone()
                }
                Action::Repair(_) => self.repairing.clone(),
                _ => self.others.clone(),
            };
            let volumes = Arc::clone(&self.volumes);
            self.running.spawn(async move {
                let carried_out = action.clone();
                let job = move || apply(&volumes, &carried_out);
                let came = threads.run(FOR_EVER, "recovery", job).await;
                (
                    action,
                    came.unwrap_or_else(|error| Came::Failed(chain(&error))),
                )
            });
        }
    }

    fn ended(&mut self, action: &Action, came: &Came) {
        tracing::debug!(?action, ?came, "recovery ended");
        self.count(action, came);
        let mut plan = Plan::default();
        let now = Instant::now().into_std();
        self.ledger.ended(now, action, came, &mut plan);
        self.carry_out(plan);
    }

    fn count(&self, action: &Action, came: &Came) {
        match (action, came) {
            (Action::Reach { .. }, Came::Connected) => self.metrics.recovery().reconnect("created"),
            (Action::Reach { .. }, Came::Adopted) => self.metrics.recovery().reconnect("adopted"),
            (Action::Reach { .. }, Came::Unanswered(_)) => {
                self.metrics.recovery().reconnect("unanswered")
            }
            (Action::Reach { .. }, Came::Refused(_)) => {
                self.metrics.recovery().reconnect("refused")
            }
            (Action::BringBack(_), Came::Done | Came::Reinstated) => {
                self.metrics.recovery().recovery("swapped");
            }
            (Action::Repair(_), Came::Repaired(_)) => self.metrics.recovery().recovery("remounted"),
            (Action::Repair(_), Came::InUse(_)) => self.metrics.recovery().recovery("in_use"),
            (Action::PassErrors(_), Came::Done) => {
                self.metrics.recovery().recovery("errors_passed");
            }
            (Action::BringBack(_) | Action::PassErrors(_) | Action::Repair(_), Came::Failed(_)) => {
                self.metrics.recovery().recovery("failed");
            }
            (Action::GiveUp(_) | Action::GiveUpStuck { .. }, Came::Done) => {
                self.metrics.recovery().recovery("let_go")
            }
            (Action::LookAgain { .. }, Came::Done) => self.metrics.recovery().orphan("rescanned"),
            (Action::Drop { .. }, Came::Done) => self.metrics.recovery().orphan("disconnected"),
            _ => {}
        }
        if let Came::Failed(error) = came {
            tracing::warn!(?action, error, "recovery failed");
        }
    }

    fn tell(&self, notice: Notice) {
        let Notice {
            volume,
            reason,
            message,
        } = notice;
        let (claim, pods) = self.users.get(&volume).cloned().unwrap_or_default();
        self.reporter.tell(Outcome {
            volume_id: volume.to_string(),
            claim,
            pods,
            reason,
            message,
        });
    }
}

/// Sixty-four volumes that come back at once change something all the time: looking without a rest, the
/// keeper would hold up on a slow machine the very connects and swaps that it waits for.
fn rest_after(look: Duration) -> Duration {
    match look > SLOW {
        true => (look * REST).min(LONGEST_REST),
        false => Duration::ZERO,
    }
}

/// Returns whether something changed before `due`; not before `rested` in any case.
async fn rest_and_wait(rested: Instant, due: Instant, changes: &mut watch::Receiver<u64>) -> bool {
    sleep_until(rested).await;
    timeout_at(due.max(rested), changes.changed()).await.is_ok()
}

/// Reads all that is needed to judge the volumes, once where all is well: to read the devices takes
/// longest, and the watch has just done so. Where something is wrong they are read again, for what is
/// missing in a tree that is older than the records may have come since.
fn observe(volumes: &Volumes, just_read: Option<Snapshot>) -> Result<Observation, String> {
    if let Some(tree) = just_read {
        let staged = volumes.staged().map_err(|error| chain(&error))?;
        let sight = volumes.look_beside(tree).map_err(|error| chain(&error))?;
        let observation = judge(volumes, staged, &sight);
        if observation.is_all_well() {
            return Ok(observation);
        }
    }
    let staged = volumes.staged().map_err(|error| chain(&error))?;
    let sight = volumes.look().map_err(|error| chain(&error))?;
    Ok(judge(volumes, staged, &sight))
}

fn judge(
    volumes: &Volumes,
    (records, complete): (Vec<StageRecord>, Complete),
    sight: &Sight,
) -> Observation {
    let hostnqn = &volumes.identity().hostnqn;
    let is_ours = |controller: &Controller| match volumes.paths().may_be_dropped(controller) {
        Ok(ours) => ours,
        Err(error) => {
            tracing::warn!(error = chain(&error), "a controller is left alone");
            false
        }
    };
    // A record that cannot be read may be of a volume that needs any of them.
    let unwanted = match complete {
        Complete::Yes => find_unwanted(&records, sight.tree(), is_ours),
        Complete::No => Vec::new(),
    };
    let mut below = BTreeMap::new();
    let seen = records.into_iter().map(|mut record| {
        record.forget_gone(&sight.mounts);
        let mut findings = detect(&record, sight, hostnqn);
        if volumes.is_busy(&record.volume_id) {
            // What is missing may be on its way, or on its way out.
            findings.retain(|finding| !finding.is_about_mounts());
        }
        let map = record.map().and_then(|map| sight.find_map(map));
        let io = map.and_then(|map| map.io);
        let disks = map.into_iter().flat_map(|map| &map.paths);
        below.extend(disks.map(|path| (path.dev, record.volume_id.clone())));
        let mounts = match findings.iter().any(Finding::is_about_mounts) {
            true => mounted_at(&record, sight),
            false => Vec::new(),
        };
        Seen {
            record,
            findings,
            mounts,
            io,
        }
    });
    let seen = seen.collect();
    Observation {
        seen,
        unwanted,
        below,
    }
}
