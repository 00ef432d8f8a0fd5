//! `addresses`, and the other ways in which drivers write where a volume is.

use nvme_fabrics::NumericAddress;
use nvme_sysfs::Transport;
use serde::Deserialize;

use super::is_addressed;
use super::keys::{self, Given, Key, MAX_ADDRESSES};
use crate::csi::invalid::InvalidRequest;
use crate::volume::request::Portal;

/// The port that IANA gave to NVMe over TCP and over RDMA.
const DEFAULT_PORT: u16 = 4420;

type Portals = Result<Vec<Portal>, InvalidRequest>;

/// The keys that give addresses, of which a volume has one.
pub(super) const KEYS: [Key; 5] = [
    Key::Addresses,
    Key::Connections,
    Key::Transports,
    Key::Address,
    Key::ManagementAddress,
];

/// Every address that was given: none for `loop`, at least one for any other transport.
pub(super) fn parse(given: &Given<'_>, transport: &Transport) -> Portals {
    let mut found = None;
    for key in KEYS {
        let Some(text) = given.value(key) else {
            continue;
        };
        if !is_addressed(transport) {
            return Err(given.refusal(key, "is not allowed for transport loop"));
        }
        match found {
            None => found = Some(read(given, key, text)?),
            // rds-csi's target has one address for its users and another for its administrators.
            Some(_) if key == Key::ManagementAddress => {}
            Some(_) => {
                return Err(given.refusal(key, "cannot be given together with addresses"));
            }
        }
    }
    check_port(given, transport)?;
    match found {
        None if is_addressed(transport) => Err(InvalidRequest::missing(keys::field("addresses"))),
        found => Ok(found.unwrap_or_default()),
    }
}

fn read(given: &Given<'_>, key: Key, text: &str) -> Portals {
    match key {
        Key::Connections => parse_connections(given, key, text),
        Key::Transports => parse_urls(given, key, text),
        Key::Address | Key::ManagementAddress => parse_pair(given, key, text),
        _ => parse_list(given, key, text),
    }
}

fn check_port(given: &Given<'_>, transport: &Transport) -> Result<(), InvalidRequest> {
    let addresses = [Key::Address, Key::ManagementAddress];
    let has_address = addresses.iter().any(|key| given.value(*key).is_some());
    let rule = match given.value(Key::Port) {
        Some(_) if !is_addressed(transport) => "is not allowed for transport loop",
        Some(_) if !has_address => "has no address of its own to belong to",
        _ => return Ok(()),
    };
    Err(given.refusal(Key::Port, rule))
}

fn parse_list(given: &Given<'_>, key: Key, list: &str) -> Portals {
    let mut portals = Vec::new();
    for text in list.split(',').map(|text| text.trim_matches(' ')) {
        let portal = parse_portal(text)
            .map_err(|rule| given.refusal(key, format!("has {text:?}, which {rule}")))?;
        if portals.contains(&portal) {
            return Err(given.refusal(key, format!("has {portal} twice")));
        }
        portals.push(portal);
    }
    Ok(portals)
}

/// One of simplyblock-csi's `connections`.
#[derive(Deserialize)]
struct Connection {
    ip: String,
    port: u16,
}

fn parse_connections(given: &Given<'_>, key: Key, json: &str) -> Portals {
    let refuse = |rule: String| given.refusal(key, rule);
    let connections: Vec<Connection> =
        serde_json::from_str(json).map_err(|error| refuse(format!("is not valid: {error}")))?;
    if connections.len() > MAX_ADDRESSES {
        return Err(refuse(format!("has more than {MAX_ADDRESSES} addresses")));
    }
    let mut portals = Vec::new();
    for Connection { ip, port } in connections {
        let traddr = parse_ip(&ip).map_err(|rule| refuse(format!("has {ip:?}, which {rule}")))?;
        push(
            &mut portals,
            Portal {
                traddr,
                trsvcid: port,
            },
        );
    }
    match portals.is_empty() {
        true => Err(refuse("has no address".to_owned())),
        false => Ok(portals),
    }
}

/// `tcp://192.0.2.1:4420,…`, all of one transport, which [`transport`](super::words::transport) takes from the first.
fn parse_urls(given: &Given<'_>, key: Key, list: &str) -> Portals {
    let mut portals = Vec::new();
    let mut schemes = Vec::new();
    for text in list.split(',').map(|text| text.trim_matches(' ')) {
        // Their example ends in a comma.
        if text.is_empty() {
            continue;
        }
        let refuse = |rule: String| given.refusal(key, format!("has {text:?}, which {rule}"));
        let (scheme, portal) = text
            .split_once("://")
            .ok_or_else(|| refuse("has no transport before ://".to_owned()))?;
        let portal = parse_portal(portal.trim_end_matches('/')).map_err(refuse)?;
        schemes.push(scheme);
        push(&mut portals, portal);
    }
    if schemes.iter().any(|scheme| *scheme != schemes[0]) {
        return Err(given.refusal(key, "has more than one transport"));
    }
    Ok(portals)
}

fn push(portals: &mut Vec<Portal>, portal: Portal) {
    if !portals.contains(&portal) {
        portals.push(portal);
    }
}

fn parse_pair(given: &Given<'_>, key: Key, address: &str) -> Portals {
    let traddr = parse_ip(address).map_err(|rule| given.refusal(key, rule))?;
    let trsvcid = given.parsed_by(Key::Port, parse_port)?;
    Ok(vec![Portal {
        traddr,
        trsvcid: trsvcid.unwrap_or(DEFAULT_PORT),
    }])
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
