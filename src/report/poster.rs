//! The task that shows outcomes as events of the cluster.
//!
//! Nothing waits for it: it takes what is told from a queue. The client is made at the first event,
//! because most nodes never have one and its memory is wanted elsewhere. Without a cluster there are
//! only the lines of the log.

use std::env;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Event, EventSource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Config};
use serde_json::json;
use tokio::time::Instant;

use super::metrics::Metrics;
use super::objects::{ApiError, Claims, Object, ask};
use super::outcome::Outcome;
use super::reporter::Outcomes;
use super::series::{Key, Next, Series};
use crate::causes::chain;

/// Longest message in bytes: the limit of the newer API for events.
const MESSAGE: usize = 1024;
/// The name of the API server's address in every pod.
const SERVICE_HOST: &str = "KUBERNETES_SERVICE_HOST";

/// Posts events.
pub struct Poster {
    driver: String,
    node: String,
    outcomes: Outcomes,
    metrics: Arc<Metrics>,
    cluster: Cluster,
    claims: Claims,
    series: Series,
}

/// How the API server is reached.
enum Cluster {
    /// It was not asked for anything yet.
    Unknown,
    /// There is none.
    Absent,
    /// By this.
    Client(Client),
}

impl fmt::Debug for Poster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Poster");
        shown
            .field("driver", &self.driver)
            .field("node", &self.node);
        shown.finish_non_exhaustive()
    }
}

impl Poster {
    /// Posts for this driver on this node, to the cluster that the environment names.
    #[must_use]
    pub fn new(driver: &str, node: &str, outcomes: Outcomes, metrics: Arc<Metrics>) -> Poster {
        Poster {
            driver: driver.to_owned(),
            node: node.to_owned(),
            outcomes,
            metrics,
            cluster: Cluster::Unknown,
            claims: Claims::of(driver.to_owned()),
            series: Series::new(Instant::now()),
        }
    }

    /// Posts by this client instead.
    #[must_use]
    pub fn with_client(self, client: Client) -> Poster {
        Poster {
            cluster: Cluster::Client(client),
            ..self
        }
    }

    /// Posts until nobody can tell anything any more. It may be given up at any moment.
    pub async fn run(mut self) {
        while let Some(outcome) = self.outcomes.next().await {
            if let Some(client) = self.client() {
                self.post(&client, outcome).await;
            }
        }
    }

    fn client(&mut self) -> Option<Client> {
        if let Cluster::Unknown = self.cluster {
            if env::var_os(SERVICE_HOST).is_none() {
                tracing::info!("there is no cluster here: events are only logged");
                self.cluster = Cluster::Absent;
            } else {
                match connect() {
                    Ok(client) => self.cluster = Cluster::Client(client),
                    Err(error) => tracing::warn!(error, "no event can be posted"),
                }
            }
        }
        match &self.cluster {
            Cluster::Client(client) => Some(client.clone()),
            Cluster::Unknown | Cluster::Absent => None,
        }
    }

    async fn post(&mut self, client: &Client, outcome: Outcome) {
        let claim = match &outcome.claim {
            Some(claim) => Some(claim.clone()),
            None => self.claims.find(client, &outcome.volume_id).await,
        };
        let claim = claim.map(Object::claim);
        let objects: Vec<Object> = claim
            .into_iter()
            .chain(outcome.pods.iter().map(Object::pod))
            .collect();
        for object in objects {
            let key = (object, outcome.reason);
            if let Err(error) = self.post_on(client, &key, &outcome.message).await {
                let (volume_id, error) = (&outcome.volume_id, chain(&error));
                let reason = outcome.reason.as_str();
                tracing::warn!(volume_id, reason, error, "an event could not be posted");
            }
        }
    }

    async fn post_on(&mut self, client: &Client, key: &Key, message: &str) -> Result<(), ApiError> {
        let (object, reason) = key;
        let events: Api<Event> = Api::namespaced(client.clone(), &object.namespace);
        let message = shorten(message);
        match self.series.next(Instant::now(), key) {
            Next::Skip => return Ok(()),
            Next::Raise(name, count) => {
                let change = Patch::Merge(json!({
                    "count": count,
                    "lastTimestamp": Time(Timestamp::now()),
                    "message": message,
                }));
                match ask(events.patch(&name, &PatchParams::default(), &change)).await {
                    // Events are kept for an hour, or as long as the API server likes.
                    Err(error) if error.is_not_found() => self.series.gone(key),
                    patched => {
                        patched?;
                        self.metrics.events().posted(reason.as_str());
                        return Ok(());
                    }
                }
                self.create(client, &events, key, (message, count)).await?;
            }
            Next::Create(count) => {
                self.create(client, &events, key, (message, count)).await?;
            }
        }
        Ok(())
    }

    async fn create(
        &mut self,
        client: &Client,
        events: &Api<Event>,
        key: &Key,
        (message, count): (&str, i32),
    ) -> Result<(), ApiError> {
        let (object, reason) = key;
        let now = Time(Timestamp::now());
        let event = Event {
            metadata: ObjectMeta {
                generate_name: Some(format!("{}-", object.name)),
                namespace: Some(object.namespace.clone()),
                ..ObjectMeta::default()
            },
            involved_object: object.reference(client).await,
            reason: Some(reason.as_str().to_owned()),
            type_: Some(reason.severity().as_str().to_owned()),
            message: Some(message.to_owned()),
            count: Some(count),
            first_timestamp: Some(now.clone()),
            last_timestamp: Some(now),
            reporting_component: Some(self.driver.clone()),
            reporting_instance: Some(self.node.clone()),
            source: Some(EventSource {
                component: Some(self.driver.clone()),
                host: Some(self.node.clone()),
            }),
            ..Event::default()
        };
        let created = ask(events.create(&PostParams::default(), &event)).await?;
        self.series.created(key, created.metadata.name);
        self.metrics.events().posted(reason.as_str());
        Ok(())
    }
}

fn connect() -> Result<Client, String> {
    let config = Config::incluster().map_err(|error| chain(&error))?;
    Client::try_from(config).map_err(|error| chain(&error))
}

/// As much of a message as an event may hold.
fn shorten(message: &str) -> &str {
    &message[..message.floor_char_boundary(MESSAGE)]
}
