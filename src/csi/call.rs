//! One call from its beginning to its answer: a line in the log, a count and a time.
//!
//! The line names operation, volume, code and duration; nothing else of a request is logged,
//! because volume contexts are long and secrets are secret.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use tonic::{Code, Response, Status};

use super::status::code_name;
use crate::report::metrics::Metrics;

/// What can be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Identity.
    GetPluginInfo,
    /// Identity.
    GetPluginCapabilities,
    /// Identity.
    Probe,
    /// Controller.
    ControllerPublishVolume,
    /// Controller.
    ControllerUnpublishVolume,
    /// Controller.
    ValidateVolumeCapabilities,
    /// Controller.
    ControllerGetCapabilities,
    /// Node.
    NodeStageVolume,
    /// Node.
    NodeUnstageVolume,
    /// Node.
    NodePublishVolume,
    /// Node.
    NodeUnpublishVolume,
    /// Node.
    NodeGetVolumeStats,
    /// Node.
    NodeGetVolumeHealth,
    /// Node.
    NodeGetStorageHealth,
    /// Node.
    NodeExpandVolume,
    /// Node.
    NodeGetCapabilities,
    /// Node.
    NodeGetInfo,
}

impl Operation {
    /// Its name on the wire, which is also its label in the metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::GetPluginInfo => "GetPluginInfo",
            Operation::GetPluginCapabilities => "GetPluginCapabilities",
            Operation::Probe => "Probe",
            Operation::ControllerPublishVolume => "ControllerPublishVolume",
            Operation::ControllerUnpublishVolume => "ControllerUnpublishVolume",
            Operation::ValidateVolumeCapabilities => "ValidateVolumeCapabilities",
            Operation::ControllerGetCapabilities => "ControllerGetCapabilities",
            Operation::NodeStageVolume => "NodeStageVolume",
            Operation::NodeUnstageVolume => "NodeUnstageVolume",
            Operation::NodePublishVolume => "NodePublishVolume",
            Operation::NodeUnpublishVolume => "NodeUnpublishVolume",
            Operation::NodeGetVolumeStats => "NodeGetVolumeStats",
            Operation::NodeGetVolumeHealth => "NodeGetVolumeHealth",
            Operation::NodeGetStorageHealth => "NodeGetStorageHealth",
            Operation::NodeExpandVolume => "NodeExpandVolume",
            Operation::NodeGetCapabilities => "NodeGetCapabilities",
            Operation::NodeGetInfo => "NodeGetInfo",
        }
    }

    /// Whether it can change anything. The others are called all the time and logged in detail only.
    fn changes(self) -> bool {
        matches!(
            self,
            Operation::ControllerPublishVolume
                | Operation::ControllerUnpublishVolume
                | Operation::NodeStageVolume
                | Operation::NodeUnstageVolume
                | Operation::NodePublishVolume
                | Operation::NodeUnpublishVolume
                | Operation::NodeExpandVolume
        )
    }
}

/// Where calls are counted. Clones count together.
#[derive(Debug, Clone)]
pub struct Calls {
    metrics: Arc<Metrics>,
    under_way: watch::Sender<usize>,
}

/// A call that is being answered. Dropped without an answer it was given up by its caller: tonic
/// drops the handler when the caller's time is over or its connection is gone.
#[derive(Debug)]
pub(super) struct Call {
    operation: Operation,
    volume_id: String,
    began: Instant,
    calls: Calls,
    answered: bool,
}

impl Calls {
    /// Counts in `metrics`.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Calls {
        let (under_way, _) = watch::channel(0);
        Calls { metrics, under_way }
    }

    /// Is done when no call is under way.
    pub async fn all_answered(&self) {
        let mut under_way = self.under_way.subscribe();
        let answered = under_way.wait_for(|number| *number == 0).await;
        answered.expect("the sending side is in self");
    }

    pub(super) fn begin(&self, operation: Operation, volume_id: &str) -> Call {
        self.metrics.operation_began(operation.as_str());
        self.under_way.send_modify(|number| *number += 1);
        Call {
            operation,
            volume_id: volume_id.to_owned(),
            began: Instant::now(),
            calls: self.clone(),
            answered: false,
        }
    }
}

impl Call {
    /// What was called.
    pub(super) fn operation(&self) -> Operation {
        self.operation
    }

    /// Logs and counts the answer, and hands it on.
    pub(super) fn end<T>(mut self, answer: Result<T, Status>) -> Result<Response<T>, Status> {
        self.answered = true;
        match &answer {
            Ok(_) => self.log_success(),
            Err(status) => self.log_failure(status.code(), status.message()),
        }
        answer.map(Response::new)
    }

    fn log_success(&self) {
        let (method, volume_id) = (self.operation.as_str(), self.volume_id.as_str());
        let took = self.count(Code::Ok);
        if self.operation.changes() {
            tracing::info!(method, volume_id, code = "OK", took, "answered");
        } else {
            tracing::debug!(method, volume_id, code = "OK", took, "answered");
        }
    }

    fn log_failure(&self, code: Code, error: &str) {
        let (method, volume_id) = (self.operation.as_str(), self.volume_id.as_str());
        let took = self.count(code);
        let code = code_name(code);
        tracing::warn!(method, volume_id, code, took, error, "answered");
    }

    /// Counts the call, and returns the time that it took as the log shows it.
    fn count(&self, code: Code) -> String {
        let took = self.began.elapsed();
        let operation = self.operation.as_str();
        let metrics = &self.calls.metrics;
        metrics.operation_ended(operation, code_name(code), took);
        format!("{took:.3?}")
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.answered {
            self.log_failure(
                Code::Cancelled,
                "the caller gave up; what was begun goes on to its end",
            );
        }
        self.calls.under_way.send_modify(|number| *number -= 1);
    }
}
