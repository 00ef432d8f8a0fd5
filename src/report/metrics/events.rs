//! The numbers of the events that were posted.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// What the poster counts.
#[derive(Debug)]
pub struct EventMetrics {
    posted: Family<ReasonLabel, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

impl EventMetrics {
    pub(super) fn register(registry: &mut Registry) -> EventMetrics {
        let posted = Family::default();
        registry.register(
            "events_posted",
            "Events that the API server took, by reason; a repeat of one counts too",
            Family::clone(&posted),
        );
        EventMetrics { posted }
    }

    /// The API server took an event.
    pub fn posted(&self, reason: &'static str) {
        self.posted.get_or_create(&ReasonLabel { reason }).inc();
    }
}
