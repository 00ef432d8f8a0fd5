//! Asks discovery controllers what they know, and those that they refer to.
//!
//! Each is connected, read and deleted again. A referral that cannot be read is reported beside
//! what the others said: unreachable is not empty.

mod entry;
mod follow;
mod ioctl;
mod log;
mod read;
mod usable;

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
use crate::options::ConnectOptions;
use crate::problem::OptionsError;
use follow::follow;
use ioctl::get_discovery_log;
use read::{Log, read_log};

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
    #[error("referrals are followed at most {} levels deep", follow::MAX_DEPTH)]
    TooDeep,
}

impl Fabrics {
    /// Reads the discovery log of the controller that `options` name, and follows its referrals, but for those that this
    /// host cannot use ([`Fabrics::unusable`]).
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
        let is_usable = |entry: &DiscoveryEntry| self.unusable(entry, options).is_none();
        Ok(follow(options, first, is_usable, |referral| {
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use nvme_sysfs::Instance;
    use tempfile::TempDir;

    use super::*;
    use crate::fixture::{attribute, host, put_device};
    use crate::owner::Owner;

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
