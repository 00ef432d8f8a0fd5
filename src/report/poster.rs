//! The task that shows outcomes as events of the cluster.
//!
//! Nothing waits for it: it takes what is told from a queue, and what cannot be posted now waits there in
//! its order for as long as the API server needs. What it will never take is dropped and counted.
//! Without a cluster there are only the lines of the log.

mod claim;
mod write;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::time::{Instant, sleep, timeout};

use super::ask::Meaning;
use super::backlog::{Begun, Told};
use super::claims::Claims;
use super::cluster::Cluster;
use super::complaints::{Complaint, Complaints};
use super::event::{self, Author};
use super::metrics::{Lost, Metrics};
use super::objects::{Target, targets};
use super::rate::Rate;
use super::reporter::{News, Outcomes};
use super::series::{Key, Series};
use crate::backoff::Backoff;
use crate::causes::chain;

pub use super::ask::ApiError;

/// How long at most until the API server is tried again.
const AGAIN: Duration = Duration::from_secs(30);
/// How long a client is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(60);
/// How many outcomes may fail before a round ends: what the API server has trouble with keeps no other
/// from being posted.
const ASIDE: usize = 4;
/// How often an outcome may fail while others are posted, and how far apart that is counted.
const STRIKES: u32 = 5;
const STRIKE: Duration = Duration::from_secs(30);

/// For how long an API server that forbids may only have started: until it has read its rules it forbids
/// what they allow (seen with 1.37.2, 0.1 s before it allowed the same).
const RULES: Duration = Duration::from_secs(120);

/// How a round ended.
#[derive(Debug)]
enum Round {
    /// Nothing waits.
    Done,
    /// Something was posted after something else could not be: that comes first.
    Again,
}

/// Posts events.
pub struct Poster {
    author: Author,
    outcomes: Outcomes,
    metrics: Arc<Metrics>,
    cluster: Cluster,
    claims: Claims,
    series: Series,
    rate: Rate,
    complaints: Complaints,
    backoff: Backoff,
    /// How many were posted.
    posted: u64,
    /// Since when the API server forbids each, and answers nothing else.
    forbids: Forbids,
}

/// Since when something is forbidden.
#[derive(Debug, Default)]
struct Forbids {
    events: Option<Instant>,
    looks: Option<Instant>,
}

impl fmt::Debug for Poster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Poster");
        shown.field("author", &self.author);
        shown.finish_non_exhaustive()
    }
}

impl Poster {
    /// Posts for this driver on this node, to the cluster that the environment names.
    #[must_use]
    pub fn new(driver: &str, node: &str, outcomes: Outcomes, metrics: Arc<Metrics>) -> Poster {
        Poster {
            author: Author {
                driver: driver.to_owned(),
                node: node.to_owned(),
            },
            outcomes,
            metrics,
            cluster: Cluster::of_this_pod(),
            claims: Claims::of(driver.to_owned()),
            series: Series::default(),
            rate: Rate::new(Instant::now()),
            complaints: Complaints::default(),
            backoff: Backoff::default(),
            posted: 0,
            forbids: Forbids::default(),
        }
    }

    /// Posts to the cluster that is reached like this instead; asked for a client again whenever one did
    /// not help.
    #[must_use]
    pub fn with_connection(
        self,
        connect: impl Fn() -> Result<Client, ApiError> + Send + 'static,
    ) -> Poster {
        Poster {
            cluster: Cluster::reached_by(connect),
            ..self
        }
    }

    /// Posts until nobody can tell anything any more. It may be given up at any moment.
    pub async fn run(mut self) {
        while self.wait().await {
            if self.cluster.is_absent() {
                tracing::info!("there is no cluster here: events are only logged");
                self.outcomes.refuse();
                return;
            }
            match self.round().await {
                Ok(Round::Done) => self.recovered(),
                Ok(Round::Again) => {}
                Err(error) => {
                    self.trouble(&error);
                    sleep(self.backoff.failed(AGAIN)).await;
                }
            }
        }
    }

    async fn wait(&mut self) -> bool {
        match timeout(IDLE, self.outcomes.wait()).await {
            Ok(more) => more,
            Err(_) => {
                self.cluster.hang_up();
                self.outcomes.wait().await
            }
        }
    }

    /// Posts what waits, and then learns of the volumes that came.
    async fn round(&mut self) -> Result<Round, ApiError> {
        let Some(client) = self.cluster.client()? else {
            return Ok(Round::Done);
        };
        let mut aside = Vec::new();
        let posted = self.post_all(&client, &mut aside).await;
        self.outcomes.put_back(aside);
        if let Round::Again = posted? {
            return Ok(Round::Again);
        }
        while !self.outcomes.is_waiting()
            && let Some((volume_id, news)) = self.outcomes.take_news()
        {
            match &news {
                News::Went => self.claims.forget(&volume_id),
                News::Came(pv) => {
                    if let Err(error) = self.look_at(&client, &volume_id, pv).await {
                        self.outcomes.put_back_news(volume_id, news);
                        return Err(error);
                    }
                }
            }
        }
        Ok(Round::Done)
    }

    /// Posts in order; of one volume nothing before what was told of it before.
    async fn post_all(
        &mut self,
        client: &Client,
        aside: &mut Vec<Told>,
    ) -> Result<Round, ApiError> {
        let mut failed: Vec<ApiError> = Vec::new();
        while failed.len() < ASIDE
            && let Some(mut told) = self.outcomes.take()
        {
            let volume_id = &told.outcome.volume_id;
            if aside.iter().any(|it| it.outcome.volume_id == *volume_id) {
                aside.push(told);
                continue;
            }
            let mut begun = told.begun.take().unwrap_or_else(|| self.begin(&told));
            let Err(error) = self.post(client, &told, &mut begun).await else {
                self.outcomes.done();
                if failed.is_empty() {
                    continue;
                }
                return Ok(Round::Again);
            };
            if self.strike(&mut begun) {
                self.give_up(&told, &error);
            } else {
                told.begun = Some(begun);
                aside.push(told);
            }
            let is_alone = error.is_of_its_own();
            failed.push(error);
            if !is_alone {
                break;
            }
        }
        failed.pop().map_or(Ok(Round::Done), Err)
    }

    fn begin(&mut self, told: &Told) -> Begun {
        let claim = self.known_claim(&told.outcome);
        Begun {
            stamp: event::stamp(told),
            targets: targets(claim, &told.outcome.pods),
            touched: false,
            strikes: 0,
            failed: None,
        }
    }

    /// Counts a failure, and says whether it was the last: the API server takes others.
    fn strike(&self, begun: &mut Begun) -> bool {
        let now = Instant::now();
        match begun.failed {
            Some((then, _)) if now.duration_since(then) < STRIKE => return false,
            Some((_, posted)) if self.posted > posted => begun.strikes += 1,
            Some(_) | None => {}
        }
        begun.failed = Some((now, self.posted));
        begun.strikes >= STRIKES
    }

    async fn post(
        &mut self,
        client: &Client,
        told: &Told,
        begun: &mut Begun,
    ) -> Result<(), ApiError> {
        while let Some(target) = begun.targets.front() {
            let object = match target {
                Target::Object(object) => Some(object.clone()),
                Target::Claim => self.find_claim(client, &told.outcome).await?,
            };
            if let Some(object) = object {
                let key = (object, told.outcome.reason);
                match self.write(client, told, begun.stamp, &key).await {
                    Err(error) if is_final(&error, &mut self.forbids.events) => {
                        self.refused(told, &key, &error);
                    }
                    written => written?,
                }
            }
            begun.targets.pop_front();
            begun.touched = true;
        }
        Ok(())
    }

    /// The API server will never take an event on this.
    fn refused(&mut self, told: &Told, key: &Key, error: &ApiError) {
        self.series.missed(Instant::now(), key, told.count);
        let is_new = self.complaints.is_new(Complaint::Event(error.meaning()));
        self.lose(told, error, is_new);
    }

    /// The API server takes other events and not this one.
    fn give_up(&mut self, told: &Told, error: &ApiError) {
        self.outcomes.done();
        self.lose(told, error, true);
    }

    fn lose(&self, told: &Told, error: &ApiError, is_new: bool) {
        let (volume_id, error) = (&told.outcome.volume_id, chain(error));
        let reason = told.outcome.reason.as_str();
        self.metrics.events().lost(reason, Lost::Refused);
        if is_new {
            tracing::warn!(volume_id, reason, error, "the API server takes no event");
        } else {
            tracing::debug!(volume_id, reason, error, "the API server takes no event");
        }
    }

    fn recovered(&mut self) {
        self.backoff = Backoff::default();
        if self.complaints.nothing_waits() {
            tracing::info!("no event waits for the API server any more");
        }
    }

    fn trouble(&mut self, error: &ApiError) {
        let meaning = error.meaning();
        if !error.is_of_its_own() || meaning == Meaning::Late {
            self.cluster.hang_up();
        }
        if meaning != Meaning::Forbidden {
            self.forbids = Forbids::default();
        }
        if self.complaints.is_new(Complaint::Waits(meaning)) {
            let error = chain(error);
            tracing::warn!(error, "the API server cannot be told: events wait for it");
        }
    }
}

/// Whether what was asked will never be well, given since when it is forbidden.
fn is_final(error: &ApiError, forbidden: &mut Option<Instant>) -> bool {
    match error.meaning() {
        Meaning::Refused(_) => true,
        Meaning::Forbidden => {
            let since = *forbidden.get_or_insert_with(Instant::now);
            since.elapsed() >= RULES
        }
        _ => false,
    }
}
