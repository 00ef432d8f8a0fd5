//! Asks discovery controllers what they know, and those that they refer to.
//!
//! Each is connected, read and deleted again. A referral that cannot be read is reported beside
//! what the others said: unreachable is not empty.

mod entry;
mod ioctl;
mod log;
mod read;

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use nvme_sysfs::Transport;

pub use entry::{
    AddressFamily, ControllerId, DiscoveryEntry, EntryFlags, SecureChannel, Subtype, TcpSecurity,
};
pub use log::{DiscoveryHeader, HeaderError, MalformedEntry};
pub use read::ReadLogError;

use crate::create::Created;
use crate::disconnect::{DisconnectError, Expected, delete};
use crate::error::ConnectError;
use crate::fabrics::Fabrics;
use crate::numeric::NumericAddress;
use crate::options::ConnectOptions;
use crate::problem::OptionsError;
use ioctl::get_discovery_log;
use read::{Log, read_log};

/// How far referrals are followed; nvme-cli's limit.
const MAX_DEPTH: u32 = 8;

/// How long the removal of a discovery controller may take after it was ordered.
const REMOVAL: Duration = Duration::from_secs(30);

/// What discovery controllers said.
#[derive(Debug, Default)]
pub struct Discovery {
    /// Every entry once, in the order in which they were found.
    pub entries: Vec<DiscoveryEntry>,
    /// Entries that made no sense.
    pub malformed: Vec<MalformedEntry>,
    /// Referrals that could not be followed.
    pub failures: Vec<ReferralFailure>,
}

/// A discovery controller that was referred to and could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("cannot follow the referral to {transport} {traddr} {trsvcid}")]
pub struct ReferralFailure {
    /// Its transport.
    pub transport: Transport,
    /// Its address.
    pub traddr: String,
    /// Its service.
    pub trsvcid: String,
    /// Why.
    pub source: DiscoverError,
}

/// Why a discovery controller could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoverError {
    /// The options would connect a subsystem with namespaces.
    #[error(
        "options do not name a discovery controller: use the discovery NQN or the flag discovery"
    )]
    NotDiscovery,
    /// It could not be connected.
    #[error("cannot connect to the discovery controller")]
    Connect(#[from] ConnectError),
    /// A referral's address is not one that can be connected.
    #[error("the referral's address cannot be connected")]
    Options(#[from] OptionsError),
    /// Its character device could not be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// The device.
        path: PathBuf,
        /// What the open answered.
        source: io::Error,
    },
    /// Its log could not be read.
    #[error("cannot read the discovery log")]
    Read(#[from] ReadLogError),
    /// It was read and could not be deleted: it is still there.
    #[error("cannot delete the discovery controller after reading its log")]
    Delete(#[from] DisconnectError),
    /// Referrals went deeper than anyone needs.
    #[error("referrals are followed at most {MAX_DEPTH} levels deep")]
    TooDeep,
}

impl Fabrics {
    /// Reads the discovery log of the controller that `options` name, and follows its referrals.
    ///
    /// Existing discovery controllers are neither used nor touched: they may belong to somebody
    /// who keeps them. `dial_timeout` bounds the dial of each TCP portal.
    ///
    /// # Errors
    /// The first controller cannot be asked. Failures of referrals are part of the result.
    pub fn discover(
        &self,
        options: &ConnectOptions,
        dial_timeout: Duration,
    ) -> Result<Discovery, DiscoverError> {
        if !options.is_discovery() {
            return Err(DiscoverError::NotDiscovery);
        }
        let first = self.ask(options, dial_timeout, REMOVAL)?;
        Ok(follow(options, first, |referral| {
            self.ask(referral, dial_timeout, REMOVAL)
        }))
    }

    /// One discovery controller: connect, read, delete.
    fn ask(
        &self,
        options: &ConnectOptions,
        dial_timeout: Duration,
        removal: Duration,
    ) -> Result<Log, DiscoverError> {
        self.check_host(options)?;
        if let Some(portal) = options.portal() {
            portal.dial(dial_timeout).map_err(ConnectError::from)?;
        }
        let created = self.create(options)?;
        let log = self.read_log_of(&created);
        // Whatever came of the reading, the controller goes; the reading's error is told first.
        let deleted = delete(
            &created.held,
            created.controller,
            Expected::Held,
            removal,
            &|| false,
        );
        self.forget_owner(created.controller);
        let log = log?;
        deleted?;
        Ok(log)
    }

    fn read_log_of(&self, created: &Created) -> Result<Log, DiscoverError> {
        let path = self.root().join("dev").join(created.controller.to_string());
        let device = File::open(&path).map_err(|source| DiscoverError::Open { path, source })?;
        let log =
            read_log(|offset, buffer, event| get_discovery_log(&device, offset, buffer, event));
        Ok(log?)
    }
}

/// Asks every controller that `first`, the log of `options`, refers to, and what those refer to.
fn follow(
    options: &ConnectOptions,
    first: Log,
    mut ask: impl FnMut(&ConnectOptions) -> Result<Log, DiscoverError>,
) -> Discovery {
    let mut discovery = Discovery::default();
    let mut seen = HashSet::new();
    let mut visited = HashSet::from([key(options)]);
    let mut logs = VecDeque::from([(options.clone(), first, 0)]);
    while let Some((asked, log, depth)) = logs.pop_front() {
        discovery.malformed.extend(log.malformed);
        for mut entry in log.entries {
            replace_wildcard(&mut entry, &asked);
            if !seen.insert(entry.clone()) {
                continue;
            }
            if entry.subtype == Subtype::Referral {
                match refer(&entry, &asked, depth, &mut visited, &mut ask) {
                    Ok(Some((options, log))) => logs.push_back((options, log, depth + 1)),
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

/// SPDK's targets may name the wildcard address they listen on: it means where they were asked.
fn replace_wildcard(entry: &mut DiscoveryEntry, asked: &ConnectOptions) {
    let parsed = entry.traddr.parse::<NumericAddress>();
    if parsed.is_ok_and(|address| address.is_unspecified())
        && let Some(traddr) = &asked.address().traddr
    {
        entry.traddr.clone_from(traddr);
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
    use std::fs;
    use std::thread;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use nvme_sysfs::{Instance, Nqn};
    use tempfile::TempDir;

    use super::log::tests::entry;
    use super::*;
    use crate::fixture::{HOSTID, HOSTNQN, VOLUME, attribute, host, put_device};
    use crate::owner::Owner;

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
        let discovery = follow(&dc("192.0.2.1"), first, |options| {
            asked.push(options.address().traddr.clone().unwrap_or_default());
            Ok(log(&[
                entry(2, VOLUME, "192.0.2.2"),
                entry(2, VOLUME, "192.0.2.1"),
                refer_to("192.0.2.1"),
            ]))
        });
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
        let discovery = follow(&dc("192.0.2.1"), first, |_| {
            Err(DiscoverError::NotDiscovery)
        });
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
        let discovery = follow(&dc("192.0.2.1"), log(&[refer_to("198.51.100.0")]), |_| {
            asked += 1;
            Ok(log(&[refer_to(&format!("198.51.100.{asked}"))]))
        });
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
            let discovery = follow(&dc("192.0.2.1"), first, |_| Err(DiscoverError::TooDeep));
            assert_eq!(discovery.entries[0].traddr, "192.0.2.1");
        }
    }

    #[test]
    fn a_subsystem_with_namespaces_is_not_asked() {
        let root = host("trixie-one-path");
        let builder = crate::fixture::options(Transport::Loop);
        let options = builder.build().expect("valid options");
        let error = Fabrics::at(root.path()).discover(&options, Duration::ZERO);
        assert!(
            matches!(error, Err(DiscoverError::NotDiscovery)),
            "{error:?}"
        );
    }

    /// Options for a discovery controller, which the device of `root` makes as nvme0.
    fn loop_back(root: &TempDir) -> ConnectOptions {
        let mut builder = crate::fixture::options(Transport::Loop);
        let options = builder.discovery().build().expect("valid options");
        put_device(root, &options, "instance=0,cntlid=1\n");
        options
    }

    #[test]
    fn a_controller_whose_log_cannot_be_read_is_deleted_all_the_same() {
        let root = host("trixie-one-path");
        let fabrics = Fabrics::at(root.path());
        let error = fabrics.ask(&loop_back(&root), Duration::ZERO, Duration::ZERO);
        let error = error.expect_err("no /dev/nvme0");
        assert!(matches!(error, DiscoverError::Open { .. }), "{error:?}");
        let order = attribute(&root, "nvme0", "delete_controller");
        assert_eq!(fs::read_to_string(order).expect("a file"), "1");
        // A plain file deletes nothing, as if this process had been killed.
        let registry = fabrics.registry();
        let owner = registry.owner(Instance(0)).expect("an entry");
        assert_eq!(owner, Some(Owner::default()));
    }

    #[test]
    fn a_deleted_discovery_controller_leaves_no_owner() {
        let root = host("trixie-one-path");
        let options = loop_back(&root);
        let order = attribute(&root, "nvme0", "delete_controller");
        fs::remove_file(&order).expect("a file");
        mkfifo(&order, Mode::S_IRWXU).expect("a pipe");
        let state = attribute(&root, "nvme0", "state");
        let link = root.path().join("sys/class/nvme/nvme0");
        let kernel = thread::spawn(move || {
            fs::read_to_string(order).expect("the order");
            fs::remove_file(state).expect("a file");
            fs::remove_file(link).expect("a link");
        });
        let fabrics = Fabrics::at(root.path());
        let error = fabrics.ask(&options, Duration::ZERO, Duration::from_secs(30));
        error.expect_err("no /dev/nvme0");
        kernel.join().expect("no panic");
        assert!(!root.path().join("run/nvme/registry/nvme0").exists());
    }
}
