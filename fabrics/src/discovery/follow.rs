//! From one discovery log to those that it refers to, and what a record leaves out.

use std::collections::{HashSet, VecDeque};

use nvme_sysfs::Transport;

use super::entry::{DiscoveryEntry, Subtype};
use super::read::Log;
use super::{DiscoverError, Discovery, ReferralFailure};
use crate::numeric::NumericAddress;
use crate::options::ConnectOptions;

/// How far referrals are followed; nvme-cli's limit.
pub(super) const MAX_DEPTH: u32 = 8;

/// Asks every controller that `first`, the log of `options`, refers to, and what those refer to.
pub(super) fn follow(
    options: &ConnectOptions,
    first: Log,
    is_usable: impl Fn(&DiscoveryEntry) -> bool,
    mut ask: impl FnMut(&ConnectOptions) -> Result<Log, DiscoverError>,
) -> Discovery {
    let mut discovery = Discovery::default();
    let mut seen = HashSet::new();
    let mut visited = HashSet::from([key(options)]);
    let mut logs = VecDeque::from([(options.clone(), first, 0, None)]);
    while let Some((asked, log, depth, scope)) = logs.pop_front() {
        // A controller that was asked by an address without one is on the same network as whoever referred to it.
        let scope = scope_of(&asked).or(scope);
        discovery.malformed.extend(log.malformed);
        for mut entry in log.entries {
            complete(&mut entry, &asked, scope.as_deref());
            if !seen.insert(entry.clone()) {
                continue;
            }
            if entry.subtype == Subtype::Referral && is_usable(&entry) {
                match refer(&entry, &asked, depth, &mut visited, &mut ask) {
                    Ok(Some((options, log))) => {
                        logs.push_back((options, log, depth + 1, scope.clone()));
                    }
                    Ok(None) => {}
                    Err(source) => discovery.failures.push(failure(&entry, source)),
                }
            }
            discovery.entries.push(entry);
        }
    }
    discovery
}

/// Follows one referral, `None` when that controller was asked before.
fn refer(
    entry: &DiscoveryEntry,
    asked: &ConnectOptions,
    depth: u32,
    visited: &mut HashSet<(Transport, Option<String>, Option<String>)>,
    ask: &mut impl FnMut(&ConnectOptions) -> Result<Log, DiscoverError>,
) -> Result<Option<(ConnectOptions, Log)>, DiscoverError> {
    let options = entry.builder(asked).build()?;
    if !visited.insert(key(&options)) {
        return Ok(None);
    }
    if depth >= MAX_DEPTH {
        return Err(DiscoverError::TooDeep);
    }
    let log = ask(&options)?;
    Ok(Some((options, log)))
}

/// What tells one discovery controller from another; addresses are canonical in options.
fn key(options: &ConnectOptions) -> (Transport, Option<String>, Option<String>) {
    let address = options.address();
    let transport = options.transport().clone();
    (transport, address.traddr.clone(), address.trsvcid.clone())
}

/// The interface in the address that was asked.
fn scope_of(asked: &ConnectOptions) -> Option<String> {
    let (_, scope) = asked.address().traddr.as_ref()?.split_once('%')?;
    Some(scope.to_owned())
}

/// Completes what a target cannot know. The wildcard address on which SPDK's targets may listen means where they were
/// asked. A link-local address is reached through `scope`, the interface through which the target was.
fn complete(entry: &mut DiscoveryEntry, asked: &ConnectOptions, scope: Option<&str>) {
    let Some(asked) = &asked.address().traddr else {
        return;
    };
    let Ok(address) = entry.traddr.parse::<NumericAddress>() else {
        return;
    };
    if address.is_unspecified() {
        entry.traddr.clone_from(asked);
    } else if address.needs_scope()
        && let Some(scope) = scope
    {
        entry.traddr = format!("{address}%{scope}");
    }
}

fn failure(entry: &DiscoveryEntry, source: DiscoverError) -> ReferralFailure {
    ReferralFailure {
        transport: entry.transport.clone(),
        traddr: entry.traddr.clone(),
        trsvcid: entry.trsvcid.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use nvme_sysfs::Nqn;

    use super::super::log::tests::entry;
    use super::*;
    use crate::fabrics::Fabrics;
    use crate::fixture::{HOSTID, HOSTNQN, VOLUME, host};

    const DISCOVERY: &str = "nqn.2014-08.org.nvmexpress.discovery";

    /// Options for the discovery controller at `traddr`.
    fn dc(traddr: &str) -> ConnectOptions {
        let mut builder = ConnectOptions::builder(Transport::Tcp, Nqn::discovery());
        builder.traddr(traddr).trsvcid("4420");
        builder.hostnqn(HOSTNQN.parse().expect("a name"));
        builder.hostid(HOSTID.parse().expect("a UUID"));
        builder.build().expect("valid options")
    }

    fn log(entries: &[[u8; 1024]]) -> Log {
        let decode = |bytes: &[u8; 1024]| DiscoveryEntry::decode(0, bytes).expect("an entry");
        Log {
            entries: entries.iter().map(decode).collect(),
            malformed: Vec::new(),
        }
    }

    fn refer_to(traddr: &str) -> [u8; 1024] {
        entry(1, DISCOVERY, traddr)
    }

    #[test]
    fn referrals_are_followed_and_each_controller_is_asked_once() {
        let first = log(&[
            entry(2, VOLUME, "192.0.2.1"),
            refer_to("192.0.2.2"),
            // The way back, in this log and in the next one.
            refer_to("192.0.2.1"),
        ]);
        let mut asked = Vec::new();
        let discovery = follow(
            &dc("192.0.2.1"),
            first,
            |_| true,
            |options| {
                asked.push(options.address().traddr.clone().unwrap_or_default());
                Ok(log(&[
                    entry(2, VOLUME, "192.0.2.2"),
                    entry(2, VOLUME, "192.0.2.1"),
                    refer_to("192.0.2.1"),
                ]))
            },
        );
        assert_eq!(asked, ["192.0.2.2"]);
        assert!(discovery.failures.is_empty());
        let volumes = discovery
            .entries
            .iter()
            .filter(|entry| entry.subtype == Subtype::Nvm);
        let addresses: Vec<&str> = volumes.map(|entry| &entry.traddr[..]).collect();
        assert_eq!(addresses, ["192.0.2.1", "192.0.2.2"], "each entry once");
    }

    #[test]
    fn a_referral_that_fails_is_reported_beside_the_entries() {
        let first = log(&[
            refer_to("192.0.2.2"),
            refer_to("name.example"),
            entry(2, VOLUME, "192.0.2.1"),
        ]);
        let discovery = follow(
            &dc("192.0.2.1"),
            first,
            |_| true,
            |_| Err(DiscoverError::NotDiscovery),
        );
        assert_eq!(discovery.entries.len(), 3);
        let failures: Vec<String> = discovery.failures.iter().map(ToString::to_string).collect();
        assert_eq!(
            failures,
            [
                "cannot follow the referral to tcp 192.0.2.2 4420",
                "cannot follow the referral to tcp name.example 4420"
            ]
        );
    }

    #[test]
    fn a_chain_of_referrals_ends_after_eight_levels() {
        let mut asked = 0;
        let discovery = follow(
            &dc("192.0.2.1"),
            log(&[refer_to("198.51.100.0")]),
            |_| true,
            |_| {
                asked += 1;
                Ok(log(&[refer_to(&format!("198.51.100.{asked}"))]))
            },
        );
        assert_eq!(asked, 8);
        assert!(matches!(
            discovery.failures[0].source,
            DiscoverError::TooDeep
        ));
    }

    #[test]
    fn the_wildcard_address_means_where_it_was_asked() {
        for wildcard in ["0.0.0.0", "::"] {
            let first = log(&[entry(2, VOLUME, wildcard)]);
            let discovery = follow(
                &dc("192.0.2.1"),
                first,
                |_| true,
                |_| Err(DiscoverError::TooDeep),
            );
            assert_eq!(discovery.entries[0].traddr, "192.0.2.1");
        }
    }

    #[test]
    fn the_interface_of_a_link_local_address_is_handed_on_to_every_record() {
        let first = log(&[entry(2, VOLUME, "fe80::1"), refer_to("fe80::2")]);
        let mut asked = Vec::new();
        let discovery = follow(
            &dc("fe80::1%eth0"),
            first,
            |_| true,
            |options| {
                asked.push(options.address().traddr.clone().unwrap_or_default());
                Ok(log(&[
                    entry(2, VOLUME, "fe80::2"),
                    entry(2, VOLUME, "2001:db8::2"),
                ]))
            },
        );
        assert_eq!(asked, ["fe80::2%eth0"]);
        let addresses = discovery.entries.iter().map(|entry| &entry.traddr[..]);
        assert_eq!(
            addresses.collect::<Vec<_>>(),
            [
                "fe80::1%eth0",
                "fe80::2%eth0",
                "fe80::2%eth0",
                "2001:db8::2"
            ]
        );
        for entry in &discovery.entries {
            let options = entry.builder(&dc("fe80::1%eth0")).build();
            options.expect("valid options");
        }
    }

    #[test]
    fn the_interface_is_handed_on_through_a_controller_that_needs_none() {
        let mut asked = Vec::new();
        let discovery = follow(
            &dc("fe80::1%eth0"),
            log(&[refer_to("2001:db8::2")]),
            |_| true,
            |options| {
                asked.push(options.address().traddr.clone().unwrap_or_default());
                Ok(log(&[refer_to("fe80::3"), entry(2, VOLUME, "fe80::4")]))
            },
        );
        assert_eq!(asked, ["2001:db8::2", "fe80::3%eth0"]);
        let addresses = discovery.entries.iter().map(|entry| &entry.traddr[..]);
        let expected = ["2001:db8::2", "fe80::3%eth0", "fe80::4%eth0"];
        assert_eq!(addresses.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_referral_that_this_host_cannot_use_is_listed_and_no_failure() {
        let mut referral = refer_to("nn-0x1,pn-0x2");
        referral[0] = 2;
        let first = log(&[referral, entry(2, VOLUME, "192.0.2.1")]);
        let root = host("trixie-one-path");
        let fabrics = Fabrics::at(root.path());
        let asked = dc("192.0.2.1");
        let is_usable = |entry: &DiscoveryEntry| fabrics.unusable(entry, &asked).is_none();
        let discovery = follow(&asked, first, is_usable, |_| panic!("nobody to ask"));
        assert_eq!(discovery.entries.len(), 2);
        assert!(discovery.failures.is_empty());
    }
}
