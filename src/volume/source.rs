//! Where a volume comes from: subsystem, addresses, namespace, and how to connect.

use std::fmt;
use std::time::Duration;

use nvme_fabrics::NumericAddress;
use nvme_sysfs::{ControllerLoss, NamespaceSelector, Nqn, Transport};
use serde::{Deserialize, Serialize};

use super::text;

/// A namespace of a subsystem and the ways to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Name of the subsystem.
    #[serde(with = "text")]
    pub nqn: Nqn,
    /// `tcp`, `rdma` or `loop`.
    #[serde(with = "text::transport")]
    pub transport: Transport,
    /// Every one of them is connected; `loop` has none.
    pub addresses: Vec<Portal>,
    /// Which namespace.
    #[serde(with = "text::selector")]
    pub which: NamespaceSelector,
    /// Options of the kernel.
    pub tuning: ConnectTuning,
    /// How I/O is to be kept waiting while no path exists.
    pub hold: PathLossHold,
    /// How long I/O is kept waiting, in whole seconds; absent: for ever.
    #[serde(with = "text::seconds")]
    pub path_loss_timeout: Option<Duration>,
}

/// One address of a subsystem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Portal {
    /// IP address, with the interface of a link-local one.
    #[serde(with = "text")]
    pub traddr: NumericAddress,
    /// TCP or RDMA port.
    pub trsvcid: u16,
}

/// The options of a connect that the user may set; absent ones take the default of this driver, or
/// else of the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectTuning {
    /// When the kernel gives a lost controller up; absent: never.
    #[serde(with = "text::controller_loss")]
    pub ctrl_loss_tmo: Option<ControllerLoss>,
    /// Time between two attempts of the kernel to reconnect; absent: 5 s.
    #[serde(with = "text::seconds")]
    pub reconnect_delay: Option<Duration>,
    /// Keep-alive interval; absent: 5 s.
    #[serde(with = "text::seconds")]
    pub keep_alive_tmo: Option<Duration>,
    /// When I/O of a lost path fails; absent: not before the path is removed.
    #[serde(with = "text::seconds")]
    pub fast_io_fail_tmo: Option<Duration>,
    /// Number of I/O queues.
    pub nr_io_queues: Option<u32>,
    /// Entries of each I/O queue.
    pub queue_size: Option<u32>,
    /// Number of additional polled queues.
    pub nr_poll_queues: Option<u32>,
    /// Number of additional queues for writes.
    pub nr_write_queues: Option<u32>,
    /// IP type of service.
    pub tos: Option<u8>,
    /// Source interface.
    pub host_iface: Option<String>,
    /// Source address.
    #[serde(with = "text::option")]
    pub host_traddr: Option<NumericAddress>,
    /// CRC over PDU headers.
    pub hdr_digest: bool,
    /// CRC over PDU data.
    pub data_digest: bool,
}

/// How I/O is kept waiting while no path exists, `pathLossHold`. Recorded with the volume; as of now
/// every volume is served as with [`PathLossHold::None`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathLossHold {
    /// The best that this node can do.
    #[default]
    Auto,
    /// A device-mapper map above the disk.
    Dm,
    /// The head's own `delayed_removal_secs`.
    Native,
    /// Not beyond the kernel's own reconnecting.
    None,
}

/// `address:port`, with IPv6 addresses in brackets.
impl fmt::Display for Portal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.traddr.ip().is_ipv6() {
            write!(f, "[{}]:{}", self.traddr, self.trsvcid)
        } else {
            write!(f, "{}:{}", self.traddr, self.trsvcid)
        }
    }
}
