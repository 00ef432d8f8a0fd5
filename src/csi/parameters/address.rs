//! `addresses`, and the one address that other drivers give in two keys.

use nvme_fabrics::NumericAddress;
use nvme_sysfs::Transport;

use super::is_addressed;
use super::keys::{self, Given, Key};
use crate::csi::invalid::InvalidRequest;
use crate::volume::request::Portal;

/// The port that IANA gave to NVMe over TCP and over RDMA.
const DEFAULT_PORT: u16 = 4420;

/// Every address that was given: none for `loop`, at least one for any other transport.
pub(super) fn parse(
    given: &Given<'_>,
    transport: &Transport,
) -> Result<Vec<Portal>, InvalidRequest> {
    for key in [Key::Addresses, Key::Address, Key::Port] {
        if given.value(key).is_some() && !is_addressed(transport) {
            return Err(given.refusal(key, "is not allowed for transport loop"));
        }
    }
    let portals = match (given.value(Key::Addresses), given.value(Key::Address)) {
        (Some(_), Some(_)) => {
            return Err(given.refusal(Key::Address, "cannot be given together with addresses"));
        }
        (Some(list), None) => parse_list(given, list)?,
        (None, Some(address)) => vec![parse_pair(given, address)?],
        (None, None) if is_addressed(transport) => {
            return Err(InvalidRequest::missing(keys::field("addresses")));
        }
        (None, None) => Vec::new(),
    };
    if given.value(Key::Port).is_some() && given.value(Key::Address).is_none() {
        return Err(given.refusal(Key::Port, "has no address of its own to belong to"));
    }
    Ok(portals)
}

fn parse_list(given: &Given<'_>, list: &str) -> Result<Vec<Portal>, InvalidRequest> {
    let mut portals = Vec::new();
    for text in list.split(',') {
        let portal = parse_portal(text)
            .map_err(|rule| given.refusal(Key::Addresses, format!("has {text:?}, which {rule}")))?;
        if portals.contains(&portal) {
            let rule = format!("has {portal} twice");
            return Err(given.refusal(Key::Addresses, rule));
        }
        portals.push(portal);
    }
    Ok(portals)
}

fn parse_pair(given: &Given<'_>, address: &str) -> Result<Portal, InvalidRequest> {
    let traddr = parse_ip(address).map_err(|rule| given.refusal(Key::Address, rule))?;
    let trsvcid = given.parsed_by(Key::Port, parse_port)?;
    Ok(Portal {
        traddr,
        trsvcid: trsvcid.unwrap_or(DEFAULT_PORT),
    })
}

/// `192.0.2.1`, `192.0.2.1:4420`, `[2001:db8::1]` or `[2001:db8::1]:4420`.
fn parse_portal(text: &str) -> Result<Portal, String> {
    let (address, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or("has no closing bracket")?;
            let port = match port.strip_prefix(':') {
                Some(port) => Some(port),
                None if port.is_empty() => None,
                None => return Err("has more than a port behind the bracket".to_owned()),
            };
            let traddr = parse_ip(address)?;
            if !traddr.ip().is_ipv6() {
                return Err("has an address in brackets that is not IPv6".to_owned());
            }
            (traddr, port)
        }
        None => {
            if text.matches(':').count() > 1 {
                return Err("must have brackets around an IPv6 address".to_owned());
            }
            match text.split_once(':') {
                Some((address, port)) => (parse_ip(address)?, Some(port)),
                None => (parse_ip(text)?, None),
            }
        }
    };
    Ok(Portal {
        traddr: address,
        trsvcid: port.map_or(Ok(DEFAULT_PORT), parse_port)?,
    })
}

fn parse_ip(text: &str) -> Result<NumericAddress, String> {
    text.parse()
        .map_err(|error: nvme_fabrics::ParseAddressError| error.to_string())
}

/// In the one spelling that the kernel's own comparison of ports finds equal.
fn parse_port(text: &str) -> Result<u16, String> {
    let is_plain = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    let port = text.parse::<u16>().ok().filter(|_| is_plain);
    port.ok_or_else(|| "must have a port from 1 to 65535 without sign or leading zero".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_and_without_port_is_read_in_both_families() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1:4420"),
            ("192.0.2.1:8009", "192.0.2.1:8009"),
            ("[2001:DB8::1]", "[2001:db8::1]:4420"),
            ("[2001:db8::1]:1", "[2001:db8::1]:1"),
            ("[fe80::1%eth0]:65535", "[fe80::1%eth0]:65535"),
        ] {
            let portal = parse_portal(text).expect(text);
            assert_eq!(portal.to_string(), expected);
        }
    }

    #[test]
    fn what_is_no_numeric_address_with_a_port_is_refused() {
        for text in [
            "",
            " 192.0.2.1",
            "storage.example:4420",
            "2001:db8::1",
            "[192.0.2.1]:4420",
            "[2001:db8::1",
            "[2001:db8::1]4420",
            "[2001:db8::1]]",
            "192.0.2.1:",
            "192.0.2.1:0",
            "192.0.2.1:+1",
            "192.0.2.1:04420",
            "192.0.2.1:65536",
            "192.0.2.1/24",
        ] {
            assert!(parse_portal(text).is_err(), "{text:?}");
        }
    }
}
