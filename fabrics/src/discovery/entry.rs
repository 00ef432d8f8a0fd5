//! One entry of the discovery log, and how to connect what it names.

use nvme_sysfs::{Nqn, Transport};

use crate::options::{ConnectOptions, ConnectOptionsBuilder};
use crate::tuning::ConnectTuning;

/// One entry: a port through which a subsystem can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DiscoveryEntry {
    /// Transport (trtype); `Other` holds the number.
    pub transport: Transport,
    /// Kind of address (adrfam).
    pub address_family: AddressFamily,
    /// What is there (subtype).
    pub subtype: Subtype,
    /// Whether TLS is needed (treq, bits 1:0).
    pub secure_channel: SecureChannel,
    /// The target can do without submission queue flow control (treq, bit 2).
    pub disable_sqflow: bool,
    /// The target's number of the port.
    pub portid: u16,
    /// Which controller id a connect gets.
    pub cntlid: ControllerId,
    /// Largest admin queue.
    pub asqsz: u16,
    /// Entry flags.
    pub eflags: EntryFlags,
    /// The subsystem.
    pub subnqn: Nqn,
    /// Its address, `:` instead of `,` between the names of Fibre Channel.
    pub traddr: String,
    /// Its service; empty where the transport has none.
    pub trsvcid: String,
    /// Security of TCP (sectype), `None` for other transports.
    pub sectype: Option<TcpSecurity>,
}

/// Kind of address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressFamily {
    /// PCI Express.
    Pci,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// InfiniBand.
    InfiniBand,
    /// Fibre Channel.
    FibreChannel,
    /// Inside the host.
    Loop,
    /// A number that is not defined.
    Other(u8),
}

/// What stands behind an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subtype {
    /// Another discovery controller.
    Referral,
    /// A subsystem with namespaces.
    Nvm,
    /// The discovery subsystem that was asked (TP8013).
    CurrentDiscovery,
    /// A number that is not defined.
    Other(u8),
}

/// Whether TLS is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecureChannel {
    /// Not said.
    NotSpecified,
    /// Needed.
    Required,
    /// Possible.
    NotRequired,
    /// A number that is not defined.
    Reserved,
}

/// Which controller id a connect gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ControllerId {
    /// Any (ffffh).
    Dynamic,
    /// Any, and the same after a reconnect (fffeh).
    Static,
    /// This one.
    Fixed(u16),
}

/// Security of an NVMe/TCP port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TcpSecurity {
    /// In the clear.
    None,
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
    /// A number that is not defined.
    Other(u8),
}

bitflags::bitflags! {
    /// Flags of an entry.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct EntryFlags: u16 {
        /// The other ports of this discovery subsystem return the same.
        const DUPRETINFO = 1 << 0;
        /// The discovery controller takes connections that stay.
        const EPCSD = 1 << 1;
        /// The discovery controller has lost its central one.
        const NCC = 1 << 2;
        const _ = !0;
    }
}

impl DiscoveryEntry {
    /// Options that connect this entry from the host of `base`, the connect that found it.
    ///
    /// The host identity, and where the transport takes them the source address and interface,
    /// are those of `base`. Flow control is turned off and TLS on as the entry wants it.
    #[must_use]
    pub fn builder(&self, base: &ConnectOptions) -> ConnectOptionsBuilder {
        let mut builder = ConnectOptions::builder(self.transport.clone(), self.subnqn.clone());
        if !self.traddr.is_empty() {
            builder.traddr(&self.traddr);
        }
        if !self.trsvcid.is_empty() && matches!(self.transport, Transport::Tcp | Transport::Rdma) {
            builder.trsvcid(&self.trsvcid);
        }
        if let (Some(hostnqn), Some(hostid)) = (base.hostnqn(), base.hostid()) {
            builder.hostnqn(hostnqn.clone()).hostid(*hostid);
        }
        if self.transport == *base.transport() {
            if let Some(host_traddr) = &base.address().host_traddr {
                builder.host_traddr(host_traddr);
            }
            if let Some(host_iface) = &base.address().host_iface {
                builder.host_iface(host_iface);
            }
        }
        if self.subtype != Subtype::Nvm && !self.subnqn.is_discovery() {
            builder.discovery();
        }
        if self.disable_sqflow {
            builder.tuning(ConnectTuning {
                disable_sqflow: true,
                ..ConnectTuning::default()
            });
        }
        if self.secure_channel == SecureChannel::Required && self.sectype.is_some() {
            builder.tls();
        }
        builder
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::tests::entry;
    use super::*;
    use crate::fixture;

    fn base() -> ConnectOptions {
        let mut builder = fixture::options(Transport::Tcp);
        builder.traddr("192.0.2.1").host_iface("eth0");
        builder.build().expect("valid options")
    }

    #[test]
    fn an_entry_is_connected_from_the_host_that_found_it() {
        let mut bytes = entry(2, fixture::VOLUME, "192.0.2.9");
        bytes[3] = 0b101;
        bytes[768] = 2;
        let entry = DiscoveryEntry::decode(0, &bytes).expect("an entry");
        let options = entry.builder(&base()).build().expect("valid options");
        let text = options.encode().as_str().to_owned();
        assert!(text.contains(",host_iface=eth0,"), "{text}");
        assert!(text.contains(",disable_sqflow,"), "{text}");
        assert!(text.ends_with(",tls"), "{text}");
        assert_eq!(options.hostnqn(), base().hostnqn());
    }

    #[test]
    fn a_referral_to_a_unique_name_is_marked_as_discovery() {
        let decode = |subtype, nqn: &str| {
            let bytes = entry(subtype, nqn, "192.0.2.9");
            let entry = DiscoveryEntry::decode(0, &bytes).expect("an entry");
            let options = entry.builder(&base()).build().expect("valid options");
            options.encode().as_str().contains(",discovery")
        };
        assert!(decode(1, "nqn.2024-01.com.example:disc"));
        assert!(decode(3, "nqn.2024-01.com.example:disc"));
        assert!(!decode(1, "nqn.2014-08.org.nvmexpress.discovery"));
        assert!(!decode(2, fixture::VOLUME));
    }
}
