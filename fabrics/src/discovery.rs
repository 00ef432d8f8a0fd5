//! Asks discovery controllers what they know, and those that they refer to.
//!
//! Each is connected, read and deleted again. A referral that cannot be read is reported beside
//! what the others said: unreachable is not empty.

mod ioctl;
mod log;
mod read;

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use nvme_sysfs::Transport;

pub use log::{
    AddressFamily, ControllerId, DiscoveryEntry, DiscoveryHeader, EntryFlags, HeaderError,
    MalformedEntry, SecureChannel, Subtype, TcpSecurity,
};
pub use read::ReadLogError;

use crate::disconnect::{DisconnectError, Expected, delete};
use crate::error::ConnectError;
use crate::fabrics::{Created, Fabrics};
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
        let first = self.ask(options, dial_timeout)?;
        Ok(follow(options, first, |referral| {
            self.ask(referral, dial_timeout)
        }))
    }

    /// One discovery controller: connect, read, delete.
    fn ask(&self, options: &ConnectOptions, dial_timeout: Duration) -> Result<Log, DiscoverError> {
        self.check_host(options)?;
        if let Some(portal) = options.portal() {
            portal.dial(dial_timeout).map_err(ConnectError::from)?;
        }
        let created = self.create(options)?;
        let log = self.read_log_of(&created);
        // Whatever came of the reading, the controller goes; the reading's error is told first.
        let deleted = delete(&created.held, created.controller, Expected::Held, REMOVAL);
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
