//! The numbers of `/metrics`, in the text form of Prometheus, all beginning with `nvmeof_csi_`.
//!
//! Invariant: every label takes its values from a fixed set, so the number of series is bounded.

mod events;
mod recovery;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

pub use events::{EventMetrics, Lost};
pub use recovery::RecoveryMetrics;

const PREFIX: &str = "nvmeof_csi";

/// Upper bounds in seconds. Most calls take milliseconds, a connect up to a few seconds, mkfs of a
/// large volume up to kubelet's limit of two minutes.
const SECONDS: [f64; 12] = [
    0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
];

/// All numbers.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    operations: Family<OperationCode, Counter>,
    operation_seconds: Family<Operation, Histogram>,
    operations_in_progress: Family<Operation, Gauge>,
    connects: Family<ConnectResult, Counter>,
    connect_seconds: Histogram,
    uevents: Family<UeventKind, Counter>,
    uevent_overruns: Counter,
    recovery: RecoveryMetrics,
    events: EventMetrics,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationCode {
    operation: &'static str,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConnectResult {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UeventKind {
    kind: &'static str,
}

impl Metrics {
    /// All numbers at zero, and those that `collectors` take when they are asked for.
    #[must_use]
    pub fn new(collectors: Vec<Box<dyn Collector>>) -> Arc<Metrics> {
        let mut registry = Registry::with_prefix(PREFIX);
        let operations = Family::default();
        let operation_seconds = Family::new_with_constructor(histogram as fn() -> Histogram);
        let operations_in_progress = Family::default();
        let connects = Family::default();
        let connect_seconds = histogram();
        registry.register(
            "operations",
            "Calls of the CSI by name and by the code of the answer",
            Family::clone(&operations),
        );
        registry.register_with_unit(
            "operation_duration",
            "Time from a call of the CSI to its answer",
            Unit::Seconds,
            Family::clone(&operation_seconds),
        );
        registry.register(
            "operations_in_progress",
            "Calls of the CSI that are not answered yet",
            Family::clone(&operations_in_progress),
        );
        registry.register(
            "connects",
            "Connects of controllers by result: created, adopted or failed",
            Family::clone(&connects),
        );
        registry.register_with_unit(
            "connect_duration",
            "Time that a connect took, whatever came of it",
            Unit::Seconds,
            connect_seconds.clone(),
        );
        let (uevents, uevent_overruns) = register_uevents(&mut registry);
        let recovery = RecoveryMetrics::register(&mut registry);
        let events = EventMetrics::register(&mut registry);
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program that answers", version);
        for collector in collectors {
            registry.register_collector(collector);
        }
        Arc::new(Metrics {
            registry,
            operations,
            operation_seconds,
            operations_in_progress,
            connects,
            connect_seconds,
            uevents,
            uevent_overruns,
            recovery,
            events,
        })
    }

    /// What is done for volumes without a call.
    pub fn recovery(&self) -> &RecoveryMetrics {
        &self.recovery
    }

    /// What was shown to users.
    pub fn events(&self) -> &EventMetrics {
        &self.events
    }

    /// A call has come.
    pub fn operation_began(&self, operation: &'static str) {
        let labels = Operation { operation };
        self.operations_in_progress.get_or_create(&labels).inc();
    }

    /// A call that has come was answered, or given up by its caller.
    pub fn operation_ended(&self, operation: &'static str, code: &'static str, took: Duration) {
        let labels = OperationCode { operation, code };
        self.operations.get_or_create(&labels).inc();
        let labels = Operation { operation };
        self.operations_in_progress.get_or_create(&labels).dec();
        let seconds = self.operation_seconds.get_or_create(&labels);
        seconds.observe(took.as_secs_f64());
    }

    /// A connect came to its end.
    pub fn connect(&self, result: &'static str, took: Duration) {
        self.connects.get_or_create(&ConnectResult { result }).inc();
        self.connect_seconds.observe(took.as_secs_f64());
    }

    /// The kernel told of a device.
    pub fn uevent(&self, kind: &'static str) {
        self.uevents.get_or_create(&UeventKind { kind }).inc();
    }

    /// What the kernel told was lost.
    pub fn uevent_overrun(&self) {
        self.uevent_overruns.inc();
    }

    /// The text that Prometheus reads (OpenMetrics 1.0).
    ///
    /// # Errors
    /// That of a collector.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn register_uevents(registry: &mut Registry) -> (Family<UeventKind, Counter>, Counter) {
    let uevents = Family::default();
    registry.register(
        "uevents",
        "Events of disks and NVMe devices by kind: add, remove, change or other",
        Family::clone(&uevents),
    );
    let uevent_overruns = Counter::default();
    registry.register(
        "uevent_overruns",
        "Times that events were lost and the devices were read anew",
        uevent_overruns.clone(),
    );
    (uevents, uevent_overruns)
}

fn histogram() -> Histogram {
    Histogram::new(SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_labels_and_counts_are_those_of_the_contract() {
        let metrics = Metrics::new(Vec::new());
        for _ in 0..4 {
            metrics.operation_began("NodeStageVolume");
        }
        metrics.operation_ended("NodeStageVolume", "OK", Duration::from_millis(20));
        metrics.operation_ended("NodeStageVolume", "OK", Duration::from_secs(20));
        metrics.operation_ended("NodeStageVolume", "ABORTED", Duration::ZERO);
        metrics.connect("created", Duration::from_secs(1));
        let text = metrics.text().expect("text");
        for line in [
            "nvmeof_csi_operations_total{operation=\"NodeStageVolume\",code=\"OK\"} 2",
            "nvmeof_csi_operations_total{operation=\"NodeStageVolume\",code=\"ABORTED\"} 1",
            "nvmeof_csi_operations_in_progress{operation=\"NodeStageVolume\"} 1",
            "nvmeof_csi_operation_duration_seconds_count{operation=\"NodeStageVolume\"} 3",
            "nvmeof_csi_operation_duration_seconds_bucket{le=\"0.05\",operation=\"NodeStageVolume\"} 2",
            "nvmeof_csi_connects_total{result=\"created\"} 1",
            "nvmeof_csi_connect_duration_seconds_count 1",
            concat!(
                "nvmeof_csi_build_info{version=\"",
                env!("CARGO_PKG_VERSION"),
                "\"} 1"
            ),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
