//! Controllers: one association with a subsystem, `/sys/class/nvme/nvmeN`.
//!
//! Invariant: what the kernel cannot know before it has identified the controller (`subsysnqn`, `cntlid`, `cntrltype`,
//! `model` …) is absent until then, whatever the attribute says.

use std::time::Duration;

use crate::address::{Transport, TransportAddress};
use crate::device::{DevT, Instance};
use crate::diagnostics::ControllerCounters;
use crate::error::Unknown;
use crate::identity::Uuid;
use crate::nqn::Nqn;
use crate::path::NamespacePath;
use crate::word::kernel_word;

kernel_word! {
    /// State of a controller, attribute `state` (drivers/nvme/host/sysfs.c).
    ControllerState {
        /// Made, not started.
        New = "new",
        /// I/O flows.
        Live = "live",
        /// Torn down in order to be started again.
        Resetting = "resetting",
        /// Not connected; the kernel tries to.
        Connecting = "connecting",
        /// Being removed.
        Deleting = "deleting",
        /// Being removed, and no I/O is sent any more.
        DeletingNoIo = "deleting (no IO)",
        /// Beyond repair.
        Dead = "dead",
    }
}

kernel_word! {
    /// What a controller is for, attribute `cntrltype` (since 5.18).
    ControllerType {
        /// Namespaces and I/O.
        Io = "io",
        /// The discovery log only.
        Discovery = "discovery",
        /// Administration only.
        Admin = "admin",
        /// The controller did not say.
        Reserved = "reserved",
    }
}

kernel_word! {
    /// Kind of a discovery controller, attribute `dctype` (since 5.18).
    DiscoveryType {
        /// Not reported, as by every controller that serves no discovery log.
        NotReported = "none",
        /// Direct discovery controller.
        Direct = "ddc",
        /// Central discovery controller.
        Central = "cdc",
        /// A value that the specification does not define.
        Reserved = "reserved",
    }
}

kernel_word! {
    /// How the connections of a controller are encrypted, attribute `tls_mode` (7.x).
    TlsMode {
        /// TLS from the first byte on.
        Tls = "tls",
        /// TLS that the authentication has brought about.
        Concat = "concat",
    }
}

/// How long the kernel tries to get a lost controller back, attribute `ctrl_loss_tmo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ControllerLoss {
    /// It is removed after this time, counted by the kernel in attempts, so that it may take longer.
    After(Duration),
    /// The kernel goes on trying; `off` in sysfs, a negative number at connect.
    Never,
}

/// When I/O to a lost controller starts to fail, attribute `fast_io_fail_tmo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FastIoFail {
    /// After this time.
    After(Duration),
    /// Not before the controller is removed.
    Off,
}

/// Keep-alive of a controller, attribute `kato`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeepAlive {
    /// The target may give the host up when it hears nothing for this time.
    Timeout(Duration),
    /// No keep-alive is sent.
    Off,
}

/// One controller as sysfs shows it at one moment.
///
/// Attributes that some kernels or transports do not have are `Option`; PCIe controllers have none of the host's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Controller {
    /// The N of `nvmeN`.
    pub instance: Instance,
    /// State; `unknown` if it could not be read.
    pub state: ControllerState,
    /// Transport; `unknown` if it could not be read.
    pub transport: Transport,
    /// Address, taken apart.
    pub address: TransportAddress,
    /// Address as the kernel prints it; empty where it prints nothing.
    pub address_text: String,
    /// Name of the subsystem; absent until the controller is identified, or when the text is no [`Nqn`].
    pub subsysnqn: Option<Nqn>,
    /// `subsysnqn` as the kernel prints it.
    pub subsysnqn_text: Option<String>,
    /// Name by which this host connected (fabrics, since 5.7).
    pub hostnqn: Option<Nqn>,
    /// `hostnqn` as the kernel prints it.
    pub hostnqn_text: Option<String>,
    /// Identifier by which this host connected (fabrics, since 5.7).
    pub hostid: Option<Uuid>,
    /// The target's number for this association.
    pub cntlid: Option<u16>,
    /// What it is for (since 5.18).
    pub cntrltype: Option<ControllerType>,
    /// Kind of discovery controller (since 5.18).
    pub dctype: Option<DiscoveryType>,
    /// How long the kernel tries to reconnect (fabrics, since 5.9).
    pub ctrl_loss_tmo: Option<ControllerLoss>,
    /// Time between two attempts to reconnect (fabrics, since 5.9).
    pub reconnect_delay: Option<Duration>,
    /// When I/O fails during a loss (fabrics, since 5.13).
    pub fast_io_fail_tmo: Option<FastIoFail>,
    /// Keep-alive (fabrics, since 5.13).
    pub kato: Option<KeepAlive>,
    /// How its connections are encrypted (tcp, 7.x); absent where they are not, and where the kernel does not say.
    pub tls_mode: Option<TlsMode>,
    /// Memory node next to the controller; absent where the kernel says -1.
    pub numa_node: Option<u32>,
    /// Number of queues, the admin queue included.
    pub queue_count: Option<u32>,
    /// Entries of a submission queue, less one, as the kernel counts them.
    pub sqsize: Option<u32>,
    /// Time after which an admin command counts as lost (7.x).
    pub admin_timeout: Option<Duration>,
    /// Time after which an I/O command counts as lost (7.x).
    pub io_timeout: Option<Duration>,
    /// Whether errors of passthrough commands are logged (since 6.8).
    pub passthru_err_log_enabled: Option<bool>,
    /// Deviations of this model that the driver makes allowance for, one per line (7.x); absent if there are none.
    pub quirks: Option<String>,
    /// Counters (7.x).
    pub counters: ControllerCounters,
    /// Model number.
    pub model: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// Firmware revision.
    pub firmware_rev: Option<String>,
    /// Number of the character device `/dev/nvmeN`.
    pub dev: Option<DevT>,
    /// Its hidden namespace paths `nvmeXcYnZ` (multipath). Its own disks, where it has some, are among the subsystem's
    /// namespaces.
    pub paths: Vec<NamespacePath>,
    /// What of it could not be read.
    pub unknown: Vec<Unknown>,
}

impl Controller {
    /// Whether I/O flows through it now.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.state == ControllerState::Live
    }

    /// Whether it is there for I/O: by its type, or by name on kernels that do not tell the type.
    #[must_use]
    pub fn serves_io(&self) -> bool {
        match &self.cntrltype {
            Some(ControllerType::Io) => true,
            Some(ControllerType::Discovery | ControllerType::Admin) => false,
            // NVMe before 1.4 knows no type and says "reserved".
            _ => !self.subsysnqn.as_ref().is_some_and(Nqn::is_discovery),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_with_a_blank_in_it_is_one_word() {
        assert_eq!(
            ControllerState::from("deleting (no IO)"),
            ControllerState::DeletingNoIo
        );
    }
}
