//! Where a volume comes from: subsystem, addresses, namespace, and how to connect.

use std::fmt;
use std::time::Duration;

use nvme_fabrics::NumericAddress;
use nvme_sysfs::{Controller, ControllerLoss, NamespaceSelector, Nqn, Transport, TransportAddress};
use serde::{Deserialize, Serialize};

use super::hold::Hold;
use super::source_tuning::SourceTuning;
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
    /// How it is connected.
    pub tuning: SourceTuning,
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

/// How I/O is to be kept waiting while no path exists, `pathLossHold`.
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

impl Source {
    /// Every endpoint of which a controller is wanted; the one of a transport without addresses is
    /// empty.
    #[must_use]
    pub fn endpoints(&self) -> Vec<TransportAddress> {
        if self.addresses.is_empty() {
            return vec![TransportAddress::default()];
        }
        let endpoint = |portal: &Portal| TransportAddress {
            traddr: Some(portal.traddr.to_string()),
            trsvcid: Some(portal.trsvcid.to_string()),
            host_traddr: self.tuning.host_traddr.as_ref().map(ToString::to_string),
            host_iface: self.tuning.host_iface.clone(),
            src_addr: None,
        };
        self.addresses.iter().map(endpoint).collect()
    }

    /// When the kernel shall give a lost controller up. Below a map that is not the user's to say: what waits there would
    /// be sent before anything is compared.
    #[must_use]
    pub fn controller_loss(&self, hold: &Hold) -> ControllerLoss {
        match hold {
            Hold::Dm(_) => ControllerLoss::After(Duration::ZERO),
            Hold::Native | Hold::None => {
                let wanted = self.tuning.options.ctrl_loss_tmo;
                wanted.unwrap_or(ControllerLoss::Never)
            }
        }
    }

    /// Whether a controller is one of those that are wanted: subsystem, transport, address, and the
    /// name of this host where the kernel tells it.
    #[must_use]
    pub fn asks_for(&self, controller: &Controller, hostnqn: &Nqn) -> bool {
        let is_named = controller.subsysnqn.as_ref() == Some(&self.nqn);
        let is_ours = controller
            .hostnqn
            .as_ref()
            .is_none_or(|theirs| theirs == hostnqn);
        is_named
            && is_ours
            && controller.transport == self.transport
            && self
                .endpoints()
                .iter()
                .any(|endpoint| endpoint.same_endpoint(&controller.address))
    }
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

#[cfg(test)]
mod tests {
    use nvme_fabrics::{TUNING, TuningKind};
    use nvme_sysfs::FastIoFail;

    use super::*;
    use crate::volume::fixture;

    /// A source with every option set.
    fn full() -> Source {
        let mut source = fixture::source();
        source.path_loss_timeout = Some(Duration::from_secs(600));
        let options = &mut source.tuning.options;
        for option in &TUNING {
            let text = match option.kind() {
                TuningKind::Switch => "true",
                _ => "4",
            };
            option.set(options, text).expect(text);
        }
        options.ctrl_loss_tmo = Some(ControllerLoss::Never);
        source.tuning.host_iface = Some("eth0".to_owned());
        source.tuning.host_traddr = "10.0.0.1".parse().ok();
        source
    }

    fn read_back(source: &Source) -> Source {
        let json = serde_json::to_string(source).expect("json");
        serde_json::from_str(&json).expect("its own form")
    }

    #[test]
    fn what_is_recorded_is_read_back() {
        let mut source = full();
        assert_eq!(read_back(&source), source);
        let options = &mut source.tuning.options;
        options.ctrl_loss_tmo = Some(ControllerLoss::After(Duration::from_secs(7)));
        options.fast_io_fail_tmo = Some(FastIoFail::Off);
        source.addresses.push(fixture::portal("fe80::1%eth0", 1));
        let uuid = "11111111-1111-4111-8111-111111111111";
        for which in [
            NamespaceSelector::Only,
            NamespaceSelector::Nsid("7".parse().expect("a number")),
            NamespaceSelector::Uuid(uuid.parse().expect("a uuid")),
            NamespaceSelector::Nguid(uuid.parse().expect("an nguid")),
            NamespaceSelector::Eui64("0011223344556677".parse().expect("an eui64")),
        ] {
            source.which = which;
            assert_eq!(read_back(&source), source);
        }
        assert_eq!(read_back(&fixture::source()), fixture::source());
    }

    #[test]
    fn words_that_mean_nothing_are_refused() {
        let json = serde_json::to_string(&full()).expect("json");
        for (from, to) in [
            ("\"tcp\"", "\"pigeon\""),
            ("\"only\"", "\"any\""),
            ("\"only\"", "\"nsid 0\""),
            ("\"never\"", "\"-1\""),
            ("\"10.0.0.2\"", "\"target.example\""),
            ("\"auto\"", "\"always\""),
            ("nqn.2026-01", "nqn,2026-01"),
            ("\"tos\"", "\"toss\""),
            ("\"tos\":4", "\"tos\":\"4\""),
            ("\"tos\":4", "\"tos\":256"),
            ("\"hdr_digest\":true", "\"hdr_digest\":1"),
            ("\"eth0\"", "7"),
        ] {
            assert!(json.contains(from), "{from} is not in {json}");
            let broken = json.replacen(from, to, 1);
            assert!(serde_json::from_str::<Source>(&broken).is_err(), "{to}");
        }
    }

    #[test]
    fn an_option_that_an_earlier_version_does_not_know_is_recorded_only_where_it_is_set() {
        let json = |source: &Source| serde_json::to_string(source).expect("json");
        assert!(json(&full()).contains("disable_sqflow"));
        let plain = json(&fixture::source());
        assert!(!plain.contains("disable_sqflow"), "{plain}");
        assert!(plain.contains("\"hdr_digest\":false"), "{plain}");
        assert!(plain.contains("\"queue_size\":null"), "{plain}");
    }

    #[test]
    fn a_portal_is_written_as_people_write_it() {
        assert_eq!(
            fixture::portal("10.0.0.2", 4420).to_string(),
            "10.0.0.2:4420"
        );
        assert_eq!(fixture::portal("fd00::1", 1).to_string(), "[fd00::1]:1");
    }
}
