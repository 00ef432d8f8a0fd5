//! Where a controller is reached: transport and address, as in the controller attributes `transport` and `address`.
//!
//! Invariant: two addresses are the same endpoint when the host would reach the same port from the same place, in
//! whatever way they are spelt.

use std::fmt;
use std::net::IpAddr;

use crate::word::kernel_word;

kernel_word! {
    /// Transport of a controller, attribute `transport`.
    Transport {
        /// NVMe over TCP.
        Tcp = "tcp",
        /// NVMe over RDMA.
        Rdma = "rdma",
        /// NVMe over Fibre Channel.
        Fc = "fc",
        /// The kernel's own loop target.
        Loop = "loop",
        /// A local PCI Express controller.
        Pcie = "pcie",
    }
}

/// The parts of a controller's address; each is absent where the kernel gives none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TransportAddress {
    /// Address of the target port: an IP address, a Fibre Channel `nn-0x…:pn-0x…` pair, or a PCI address.
    pub traddr: Option<String>,
    /// Service at that address: the port number of tcp and rdma.
    pub trsvcid: Option<String>,
    /// Source address or Fibre Channel host port asked for at connect.
    pub host_traddr: Option<String>,
    /// Network interface asked for at connect (tcp).
    pub host_iface: Option<String>,
    /// Source address in use, since 6.1 and only while a tcp controller is live.
    pub src_addr: Option<String>,
}

impl TransportAddress {
    /// Reads the text of the attribute `address`: `traddr=…,trsvcid=…[,host_traddr=…][,host_iface=…][,src_addr=…]`,
    /// the PCI address of a local controller, or nothing at all (loop).
    ///
    /// Keys that a newer kernel adds are left out. `none`, `(null)` and `(efault)` stand for absence.
    #[must_use]
    pub fn parse_attribute(text: &str) -> Self {
        let mut address = Self::default();
        for part in text.split(',') {
            let (key, value) = part.split_once('=').unwrap_or(("traddr", part));
            let Some(field) = address.field(key) else {
                continue;
            };
            *field = present(value);
        }
        address
    }

    /// Whether both name the same target port reached from the same place: `traddr` and `host_traddr` by
    /// [`same_address`], `trsvcid` and `host_iface` by text.
    ///
    /// As in the kernel's own search for duplicates, an absent `host_traddr` or `host_iface` equals only an absent one,
    /// and `src_addr` does not count. Unlike it, two spellings of one address are equal.
    #[must_use]
    pub fn same_endpoint(&self, other: &Self) -> bool {
        both_same(self.traddr.as_deref(), other.traddr.as_deref())
            && self.trsvcid == other.trsvcid
            && both_same(self.host_traddr.as_deref(), other.host_traddr.as_deref())
            && self.host_iface == other.host_iface
    }

    fn field(&mut self, key: &str) -> Option<&mut Option<String>> {
        match key {
            "traddr" => Some(&mut self.traddr),
            "trsvcid" => Some(&mut self.trsvcid),
            "host_traddr" => Some(&mut self.host_traddr),
            "host_iface" => Some(&mut self.host_iface),
            "src_addr" => Some(&mut self.src_addr),
            _ => None,
        }
    }
}

impl fmt::Display for TransportAddress {
    /// The kernel's own form, `traddr=…,trsvcid=…`, without the absent parts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("traddr", &self.traddr),
            ("trsvcid", &self.trsvcid),
            ("host_traddr", &self.host_traddr),
            ("host_iface", &self.host_iface),
            ("src_addr", &self.src_addr),
        ];
        let mut separator = "";
        for (key, value) in parts {
            if let Some(value) = value {
                write!(f, "{separator}{key}={value}")?;
                separator = ",";
            }
        }
        Ok(())
    }
}

fn present(value: &str) -> Option<String> {
    let value = value.trim();
    (!matches!(value, "" | "none" | "(null)" | "(efault)")).then(|| value.to_owned())
}

/// Whether two texts are one `traddr` or `host_traddr`, in whatever way they are spelt: IP addresses by value and scope,
/// Fibre Channel names (`nn-0x…:pn-0x…`, two hexadecimal numbers) in either case, anything else byte for byte.
#[must_use]
pub fn same_address(left: &str, right: &str) -> bool {
    left == right
        || same_ip(left, right)
        || (is_fibre_channel(left) && left.eq_ignore_ascii_case(right))
}

fn both_same(left: Option<&str>, right: Option<&str>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => same_address(left, right),
        (None, None) => true,
        _ => false,
    }
}

fn is_fibre_channel(text: &str) -> bool {
    text.get(..5)
        .is_some_and(|start| start.eq_ignore_ascii_case("nn-0x"))
}

fn same_ip(left: &str, right: &str) -> bool {
    let (left, left_scope) = split_scope(left);
    let (right, right_scope) = split_scope(right);
    match (left.parse::<IpAddr>(), right.parse::<IpAddr>()) {
        // An IPv4 address written as ::ffff:a.b.c.d reaches the same port.
        (Ok(left), Ok(right)) => {
            left.to_canonical() == right.to_canonical() && left_scope == right_scope
        }
        _ => false,
    }
}

fn split_scope(text: &str) -> (&str, Option<&str>) {
    match text.split_once('%') {
        Some((address, scope)) => (address, Some(scope)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn endpoint(text: &str) -> TransportAddress {
        TransportAddress::parse_attribute(text)
    }

    #[test]
    fn a_tcp_address_of_a_live_controller_has_all_its_parts() {
        let text = "traddr=192.168.5.1,trsvcid=4420,host_traddr=192.168.5.2,host_iface=v1,src_addr=192.168.5.2";
        let address = endpoint(&format!("{text}\n"));
        assert_eq!(address.traddr.as_deref(), Some("192.168.5.1"));
        assert_eq!(address.trsvcid.as_deref(), Some("4420"));
        assert_eq!(address.host_traddr.as_deref(), Some("192.168.5.2"));
        assert_eq!(address.host_iface.as_deref(), Some("v1"));
        assert_eq!(address.src_addr.as_deref(), Some("192.168.5.2"));
        assert_eq!(address.to_string(), text);
    }

    #[test]
    fn a_pci_address_and_a_fibre_channel_pair_are_whole_traddrs() {
        assert_eq!(
            endpoint("0000:00:04.0\n").traddr.as_deref(),
            Some("0000:00:04.0")
        );
        let fc = endpoint("traddr=nn-0x10:pn-0x20,host_traddr=nn-0x30:pn-0x40");
        assert_eq!(fc.traddr.as_deref(), Some("nn-0x10:pn-0x20"));
        assert_eq!(fc.host_traddr.as_deref(), Some("nn-0x30:pn-0x40"));
    }

    #[test]
    fn words_for_nothing_empty_text_and_unknown_keys_leave_parts_absent() {
        for text in [
            "",
            "\n",
            "traddr=(null)",
            "traddr=none,host_iface=none",
            "traddr=,trsvcid= ",
            "moon=far",
            ",,,",
        ] {
            assert_eq!(endpoint(text), TransportAddress::default(), "{text:?}");
        }
        assert_eq!(endpoint("").to_string(), "");
    }

    #[test]
    fn spellings_of_one_address_are_one_endpoint() {
        for (left, right) in [
            (
                "traddr=::1,trsvcid=4420",
                "traddr=0:0:0:0:0:0:0:1,trsvcid=4420",
            ),
            ("traddr=FE80::A%eth0", "traddr=fe80::a%eth0"),
            ("traddr=::ffff:10.0.0.1", "traddr=10.0.0.1"),
            ("traddr=::1,host_traddr=::2", "traddr=::1,host_traddr=0::2"),
            ("traddr=::1", "traddr=::1,src_addr=::1"),
            ("0000:00:04.0", "0000:00:04.0"),
            ("traddr=nn-0xAB:pn-0xCD", "traddr=nn-0xab:pn-0xcd"),
        ] {
            assert!(
                endpoint(left).same_endpoint(&endpoint(right)),
                "{left} {right}"
            );
        }
    }

    #[test]
    fn another_port_scope_source_or_interface_is_another_endpoint() {
        for (left, right) in [
            ("traddr=10.0.0.1", "traddr=10.0.0.11"),
            (
                "traddr=10.0.0.1,trsvcid=4420",
                "traddr=10.0.0.1,trsvcid=4421",
            ),
            ("traddr=10.0.0.1,trsvcid=4420", "traddr=10.0.0.1"),
            ("traddr=fe80::a%eth0", "traddr=fe80::a%eth1"),
            ("traddr=fe80::a%eth0", "traddr=fe80::a"),
            ("traddr=::1,host_traddr=::2", "traddr=::1"),
            ("traddr=::1,host_iface=eth0", "traddr=::1"),
            ("traddr=010.0.0.1", "traddr=10.0.0.1"),
            ("traddr=nn-0xab:pn-0xcd", "traddr=nn-0xab:pn-0xce"),
            ("traddr=Fibre", "traddr=fibre"),
        ] {
            assert!(
                !endpoint(left).same_endpoint(&endpoint(right)),
                "{left} {right}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic_and_its_own_form_is_read_back(text in ".{0,80}|[a-z_=,0-9.:]{0,80}") {
            let address = endpoint(&text);
            prop_assert_eq!(endpoint(&address.to_string()), address);
        }

        #[test]
        fn an_ip_address_is_the_same_endpoint_however_it_is_spelt(bits in any::<u128>()) {
            let ip = std::net::Ipv6Addr::from(bits);
            let long = ip.segments().map(|segment| format!("{segment:04X}")).join(":");
            let (short, long) = (format!("traddr={ip}"), format!("traddr={long}"));
            prop_assert!(endpoint(&short).same_endpoint(&endpoint(&long)));
        }
    }
}
