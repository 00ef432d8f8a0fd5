//! How an outcome becomes an event, or one more of the event that is there.

use k8s_openapi::api::core::v1::Event;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use tokio::time::Instant;

use super::Poster;
use crate::report::ask::{ApiError, ask_patiently};
use crate::report::backlog::Told;
use crate::report::event;
use crate::report::series::{Key, Next};

/// What became of an event whose count was to be raised.
#[derive(Debug)]
enum Raised {
    /// It counts more.
    Done,
    /// It is not there.
    Gone,
}

impl Poster {
    /// Makes an event, or raises the count of the one that is there.
    pub(super) async fn write(
        &mut self,
        client: &Client,
        told: &Told,
        stamp: i128,
        key: &Key,
    ) -> Result<(), ApiError> {
        let (object, reason) = key;
        let events: Api<Event> = Api::namespaced(client.clone(), &object.namespace);
        let (known, count) = match self.series.next(Instant::now(), key, told.count) {
            Next::Create(count) => (None, count),
            Next::Raise(event, count) => (Some(event), count),
        };
        let raised = match &known {
            Some(event) => self.raise(&events, event, (told, count)).await,
            None => Ok(Raised::Gone),
        };
        let event = match (raised?, known) {
            (Raised::Done, event) => event,
            // Events are kept for an hour, or as long as the API server likes.
            (Raised::Gone, _) => {
                self.series.gone(key);
                let event = event::event(&self.author, told, stamp, (object, count));
                self.create(&events, &event, (told, count)).await?
            }
        };
        self.series.posted(Instant::now(), key, event, count);
        self.metrics.events().posted(reason.as_str());
        self.posted += 1;
        self.forbids.events = None;
        self.complaints.event_taken();
        Ok(())
    }

    async fn raise(
        &mut self,
        events: &Api<Event>,
        event: &str,
        (told, count): (&Told, i32),
    ) -> Result<Raised, ApiError> {
        self.rate.wait().await;
        let change = Patch::Merge(event::raise(told, count));
        match ask_patiently(events.patch(event, &PatchParams::default(), &change)).await {
            Err(error) if error.is_not_found() => Ok(Raised::Gone),
            patched => patched.map(|_| Raised::Done),
        }
    }

    /// Makes an event and returns its name. One that is there was made by an attempt whose answer did not
    /// come, and may count less.
    async fn create(
        &mut self,
        events: &Api<Event>,
        event: &Event,
        counted: (&Told, i32),
    ) -> Result<Option<String>, ApiError> {
        self.rate.wait().await;
        match ask_patiently(events.create(&PostParams::default(), event)).await {
            Err(error) if error.is_there() => {
                let name = event.metadata.name.clone();
                self.raise(events, name.as_deref().unwrap_or_default(), counted)
                    .await?;
                Ok(name)
            }
            created => Ok(created?.metadata.name),
        }
    }
}
