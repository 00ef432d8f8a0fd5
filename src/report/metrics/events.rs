//! The numbers of the events that were posted, wait, and were dropped.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What is counted of events. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct EventMetrics {
    posted: Family<ReasonLabel, Counter>,
    pending: Gauge,
    dropped: Family<DroppedLabel, Counter>,
}

/// Why an event was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Too many waited for the API server.
    Full,
    /// The API server takes it never.
    Refused,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DroppedLabel {
    reason: &'static str,
    cause: &'static str,
}

impl EventMetrics {
    pub(super) fn register(registry: &mut Registry) -> EventMetrics {
        let events = EventMetrics::default();
        registry.register(
            "events_posted",
            "Events that the API server took, by reason; a repeat of one counts too",
            Family::clone(&events.posted),
        );
        registry.register(
            "events_pending",
            "Outcomes that wait for the API server",
            Gauge::clone(&events.pending),
        );
        registry.register(
            "events_dropped",
            "Events that nobody will see, by reason and cause: full or refused",
            Family::clone(&events.dropped),
        );
        events
    }

    /// The API server took an event.
    pub fn posted(&self, reason: &'static str) {
        self.posted.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// So many outcomes wait.
    pub fn pending(&self, number: usize) {
        self.pending.set(i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// An event was dropped.
    pub fn lost(&self, reason: &'static str, why: Lost) {
        let cause = match why {
            Lost::Full => "full",
            Lost::Refused => "refused",
        };
        let labels = DroppedLabel { reason, cause };
        self.dropped.get_or_create(&labels).inc();
    }
}
