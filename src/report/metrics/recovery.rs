//! The numbers of what is done for volumes without a call of kubelet.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Upper bounds in seconds: from a blip that nobody notices to an outage of hours.
const OUTAGE_SECONDS: [f64; 10] = [0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0];

/// What the keeper counts.
#[derive(Debug)]
pub struct RecoveryMetrics {
    reconnects: Family<ResultLabel, Counter>,
    outage: Histogram,
    holds: Family<ModeLabel, Gauge<u64, AtomicU64>>,
    stale_mounts: Family<ReasonLabel, Counter>,
    recoveries: Family<ResultLabel, Counter>,
    orphans: Family<ActionLabel, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModeLabel {
    mode: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ActionLabel {
    action: &'static str,
}

impl RecoveryMetrics {
    pub(super) fn register(registry: &mut Registry) -> RecoveryMetrics {
        let metrics = RecoveryMetrics {
            reconnects: Family::default(),
            outage: Histogram::new(OUTAGE_SECONDS),
            holds: Family::default(),
            stale_mounts: Family::default(),
            recoveries: Family::default(),
            orphans: Family::default(),
        };
        registry.register(
            "reconnects",
            "Attempts to connect what a staged volume lacks: created, adopted, unanswered or refused",
            metrics.reconnects.clone(),
        );
        registry.register_with_unit(
            "path_outage",
            "Times that a staged volume had no usable path, counted when one returned",
            Unit::Seconds,
            metrics.outage.clone(),
        );
        registry.register(
            "holds",
            "Staged volumes that have no usable path now, by what their I/O waits in",
            metrics.holds.clone(),
        );
        registry.register(
            "stale_mounts",
            "Mounts of staged volumes that were found stale, by what was found",
            metrics.stale_mounts.clone(),
        );
        registry.register(
            "recoveries",
            "What was done for volumes: swapped, errors_passed, remounted, let_go, in_use or failed",
            metrics.recoveries.clone(),
        );
        registry.register(
            "orphans",
            "What was done about controllers that serve nothing, or not the volume: rescanned or disconnected",
            metrics.orphans.clone(),
        );
        metrics
    }

    /// An attempt to connect what a staged volume lacks came to its end.
    pub fn reconnect(&self, result: &'static str) {
        self.reconnects.get_or_create(&ResultLabel { result }).inc();
    }

    /// A volume that had no path has one again.
    pub fn path_outage(&self, lasted: Duration) {
        self.outage.observe(lasted.as_secs_f64());
    }

    /// So many volumes have no path now, by the word of their hold.
    pub fn holds(&self, counts: &BTreeMap<&'static str, u64>) {
        for (mode, count) in counts {
            self.holds.get_or_create(&ModeLabel { mode }).set(*count);
        }
    }

    /// A mount was found stale.
    pub fn stale_mount(&self, reason: &'static str) {
        self.stale_mounts
            .get_or_create(&ReasonLabel { reason })
            .inc();
    }

    /// Something was done for a volume.
    pub fn recovery(&self, result: &'static str) {
        self.recoveries.get_or_create(&ResultLabel { result }).inc();
    }

    /// Something was done about a controller that serves nothing.
    pub fn orphan(&self, action: &'static str) {
        self.orphans.get_or_create(&ActionLabel { action }).inc();
    }
}
