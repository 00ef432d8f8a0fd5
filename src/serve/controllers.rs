//! `nvmeof_csi_controllers{state}`: the fabrics controllers of this node, counted when Prometheus
//! asks.

use std::collections::BTreeMap;
use std::fmt;

use nvme_sysfs::{ControllerState, Transport, Tree};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::causes::chain;
use crate::watch::Trees;

/// Counts controllers.
#[derive(Debug)]
pub(super) struct Controllers(Trees);

impl Controllers {
    /// In the trees of this machine.
    pub(super) fn of(trees: Trees) -> Controllers {
        Controllers(trees)
    }
}

impl Collector for Controllers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let tree = match self.0.scan() {
            Ok(tree) => tree,
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(error, "the controllers are not counted");
                return Ok(());
            }
        };
        let help = "Fabrics controllers of this node by state";
        let mut family = encoder.encode_descriptor("controllers", help, None, MetricType::Gauge)?;
        for (state, number) in count(&tree) {
            let gauge = ConstGauge::new(number);
            gauge.encode(family.encode_family(&[("state", state)])?)?;
        }
        Ok(())
    }
}

fn count(tree: &Tree) -> BTreeMap<&'static str, i64> {
    let fabrics = tree
        .controllers()
        .filter(|c| c.transport != Transport::Pcie);
    fabrics.fold(BTreeMap::new(), |mut counts, controller| {
        *counts.entry(label(&controller.state)).or_default() += 1;
        counts
    })
}

/// The state as a label of a fixed set, whatever a later kernel may say.
fn label(state: &ControllerState) -> &'static str {
    match state {
        ControllerState::New => "new",
        ControllerState::Live => "live",
        ControllerState::Resetting => "resetting",
        ControllerState::Connecting => "connecting",
        ControllerState::Deleting | ControllerState::DeletingNoIo => "deleting",
        ControllerState::Dead => "dead",
        ControllerState::Other(_) => "other",
    }
}
