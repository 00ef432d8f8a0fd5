//! `controller`: which node may have which volume, for the attacher that stands beside it in its pod.
//!
//! Invariant: it needs nothing of the machine, neither root nor a directory of the host.

use super::command::Command;
use super::output::Format;
use super::service::{Ended, ServiceFailure, parse_admin_address, parse_endpoint};
use crate::config::Config;
use crate::csi::driver_name::DriverName;
use crate::serve::{self, ControllerOptions};

/// Arguments of `controller`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Name of the driver, as in CSIDriver and PersistentVolumes
    #[arg(long, value_name = "DRIVER_NAME", default_value = "direct.nvmeof.csi")]
    driver_name: DriverName,

    /// Where to serve the CSI
    // In a directory that the pod's containers share.
    #[arg(long, value_name = "URL", default_value = "unix:///run/csi/csi.sock")]
    endpoint: String,

    /// Where to serve /metrics, /live and /ready; :PORT: at any address; empty: nowhere
    #[arg(long, value_name = "[IP]:PORT", default_value = "127.0.0.1:9809")]
    admin_address: String,
}

impl Command for Arguments {
    type Options = ControllerOptions;
    type Report = Ended;
    type Failure = ServiceFailure;

    fn format(&self) -> Format {
        Format::Human
    }

    fn options(self) -> Result<ControllerOptions, ServiceFailure> {
        Ok(ControllerOptions {
            driver_name: self.driver_name,
            endpoint: parse_endpoint(self.endpoint)?,
            admin_address: parse_admin_address(self.admin_address)?,
        })
    }

    fn run(_: &Config, options: ControllerOptions) -> Result<Ended, ServiceFailure> {
        serve::run_controller(&options)?;
        Ok(Ended)
    }
}
