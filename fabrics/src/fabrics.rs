//! Connects, disconnects and tunes controllers of one host.
//!
//! [`Fabrics::connect`] is idempotent: what exists is adopted, whoever made it. Every check that
//! can be made without the kernel comes before the kernel is asked, because its connects are
//! serialised for the whole host and its errors are bare numbers.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nvme_sysfs::{Controller, ControllerState, Instance, Nqn, Sysfs};

use crate::error::ConnectError;
use crate::exclusions::{Candidate, Exclusions};
use crate::existing::{Candidates, check_host_identity, find_existing};
use crate::open::open_device;
use crate::options::ConnectOptions;
use crate::owner::Owner;
use crate::registry::Registry;
use crate::supported::{SupportedError, SupportedOptions};

/// Held while a connect looks at the controllers that exist: dozens of them at once would need
/// memory for as many trees.
static LOOKING: Mutex<()> = Mutex::new(());

/// The NVMe over Fabrics host below one root.
#[derive(Debug, Clone)]
pub struct Fabrics {
    root: PathBuf,
    sysfs: Sysfs,
    owner: Owner,
}

/// A connected controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// Which.
    pub controller: Instance,
    /// Whether it was there before.
    pub how: ConnectHow,
    /// Its state a moment ago. A controller that is `connecting` is not usable yet.
    pub state: ControllerState,
}

/// How a controller came to be connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectHow {
    /// By this call.
    Created,
    /// It existed.
    Adopted,
}

impl Fabrics {
    /// The host below `root`, which is `/` outside of tests.
    pub fn at(root: impl AsRef<Path>) -> Fabrics {
        Fabrics {
            root: root.as_ref().to_owned(),
            sysfs: Sysfs::at(root),
            owner: Owner::default(),
        }
    }

    /// The same, for somebody whose controllers are to be told from others of this host.
    #[must_use]
    pub fn owned_by(self, owner: Owner) -> Fabrics {
        Fabrics { owner, ..self }
    }

    /// The same, for a program that connects again and again: see [`Sysfs::reading_addresses_once`].
    #[must_use]
    pub fn reading_addresses_once(self) -> Fabrics {
        Fabrics {
            sysfs: self.sysfs.reading_addresses_once(),
            ..self
        }
    }

    /// Where it reads which controllers there are.
    pub(crate) fn sysfs(&self) -> &Sysfs {
        &self.sysfs
    }

    /// In whose name it connects.
    pub(crate) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// The root.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// What the running kernel understands. Waits while another connect of the host runs.
    ///
    /// # Errors
    /// The device does not exist (module nvme_fabrics is not loaded) or cannot be read.
    pub fn supported(&self) -> Result<SupportedOptions, SupportedError> {
        SupportedOptions::read(&mut open_device(&self.root)?)
    }

    /// The ownership registry of this host.
    #[must_use]
    pub fn registry(&self) -> Registry {
        Registry::at(&self.root)
    }

    /// The exclusions of this host, read anew.
    #[must_use]
    pub fn exclusions(&self) -> Exclusions {
        Exclusions::load(&self.root)
    }

    /// Connects, or finds the controller that is connected already.
    ///
    /// In order: the exclusions, the host identity's 1:1 rule, a controller of the same
    /// subsystem, address and host (adopted unless it is being deleted), the TCP portal dialled
    /// for at most `dial_timeout`, the options of the running kernel, and only then the kernel.
    /// A new controller gets this crate's name in the ownership registry. Where DH-HMAC-CHAP
    /// secrets are given, the controller's attributes that show them are closed to all but root.
    ///
    /// # Errors
    /// Each condition has its variant, see [`ConnectError`].
    pub fn connect(
        &self,
        options: &ConnectOptions,
        dial_timeout: Duration,
    ) -> Result<Connected, ConnectError> {
        let existing = self.check_host(options)?;
        // Without an identity it cannot be told whose controller it is; the kernel can.
        let may_adopt = options.hostnqn().is_some() && !options.allows_duplicate();
        if let Some(existing) = existing.filter(|_| may_adopt) {
            return self.adopt(&existing, options);
        }
        if let Some(portal) = options.portal() {
            portal.dial(dial_timeout)?;
        }
        self.create_or_adopt(options, || self.create(options))
    }

    /// What can be checked without network and kernel. Returns the controller that is connected already.
    pub(crate) fn check_host(
        &self,
        options: &ConnectOptions,
    ) -> Result<Option<Controller>, ConnectError> {
        self.check_excluded(options)?;
        let _looking = LOOKING.lock().unwrap_or_else(PoisonError::into_inner);
        let controllers = self.sysfs.scan_controllers()?;
        check_host_identity(&controllers, options)?;
        Ok(find_existing(&controllers, options, Candidates::Identified).cloned())
    }

    fn check_excluded(&self, options: &ConnectOptions) -> Result<(), ConnectError> {
        let exclusions = self.exclusions();
        for ignored in exclusions.ignored() {
            tracing::debug!(%ignored, "excludes nothing");
        }
        let candidate = Candidate {
            transport: options.transport(),
            address: options.address(),
            nqn: Some(options.nqn().as_str()),
            hostnqn: options.hostnqn().map(Nqn::as_str),
            hostid: options.hostid(),
        };
        match exclusions.find(&candidate) {
            Some(entry) => Err(ConnectError::Excluded {
                nqn: options.nqn().clone(),
                entry: entry.text.clone(),
                path: entry.path.clone(),
            }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::TcpListener;

    use nvme_sysfs::Transport;
    use tempfile::TempDir;

    use super::*;
    use crate::fixture::{self, attribute, host, put, put_device};
    use crate::token::TokenSet;

    const DIAL: Duration = Duration::from_secs(5);

    fn connect(root: &TempDir, options: &ConnectOptions) -> Result<Connected, ConnectError> {
        Fabrics::at(root.path()).connect(options, DIAL)
    }

    /// Options for the trees' subsystem at a port of this very machine.
    fn tcp(port: u16) -> ConnectOptions {
        let mut builder = fixture::options(Transport::Tcp);
        builder.traddr("127.0.0.1").trsvcid(port.to_string());
        builder.build().expect("valid options")
    }

    /// A portal that answers.
    fn portal() -> (TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        (listener, port)
    }

    /// What the device was asked, none when it was only listed.
    fn asked(root: &TempDir) -> Option<String> {
        let text = fs::read_to_string(root.path().join("dev/nvme-fabrics")).expect("a device");
        Some(text).filter(|text| text.starts_with("transport="))
    }

    #[test]
    fn a_new_controller_is_connected_once_and_gets_our_name() {
        let root = host("trixie-one-path");
        let (_listener, port) = portal();
        let options = tcp(port);
        put_device(&root, &options, "instance=0,cntlid=2\n");
        let connected = connect(&root, &options).expect("a controller");
        assert_eq!(connected.controller, Instance(0));
        assert_eq!(connected.how, ConnectHow::Created);
        assert_eq!(connected.state, ControllerState::Live);
        let text = asked(&root).expect("a request");
        assert!(text.starts_with(options.encode().as_str()), "{text}");
        let registry = Fabrics::at(root.path()).registry();
        let owner = registry.owner(Instance(0)).expect("an entry");
        assert_eq!(owner, Some(Owner::default()));
    }

    #[test]
    fn an_existing_controller_is_adopted_without_network_or_kernel() {
        for (tree, state) in [
            ("trixie-one-path", ControllerState::Live),
            ("bookworm-one-path", ControllerState::Live),
            ("trixie-connecting", ControllerState::Connecting),
        ] {
            let root = host(tree);
            let mut builder = fixture::options(Transport::Tcp);
            let options = builder.traddr("10.0.0.2").build().expect("valid options");
            let connected = connect(&root, &options).expect(tree);
            assert_eq!(connected.how, ConnectHow::Adopted);
            assert_eq!(
                (connected.controller, connected.state),
                (Instance(0), state)
            );
            let registry = Fabrics::at(root.path()).registry();
            assert_eq!(registry.owner(Instance(0)).expect("no entry"), None);
        }
    }

    #[test]
    fn a_duplicate_that_is_wanted_is_asked_for() {
        let root = host("trixie-one-path");
        let mut builder = fixture::options(Transport::Loop);
        let options = builder.duplicate_connect().build().expect("valid options");
        fs::write(attribute(&root, "nvme0", "transport"), "loop\n").expect("a file");
        fs::write(attribute(&root, "nvme0", "address"), "\n").expect("a file");
        put_device(&root, &options, "instance=0,cntlid=2\n");
        let connected = connect(&root, &options).expect("a controller");
        assert_eq!(connected.how, ConnectHow::Created);
    }

    #[test]
    fn a_dead_portal_never_reaches_the_kernel() {
        let root = host("trixie-one-path");
        let (listener, port) = portal();
        drop(listener);
        let options = tcp(port);
        put_device(&root, &options, "instance=0,cntlid=2\n");
        let error = connect(&root, &options).expect_err("nobody listens");
        assert!(matches!(error, ConnectError::Portal(_)), "{error:?}");
        assert_eq!(asked(&root), None);
    }

    #[test]
    fn an_option_that_the_kernel_lacks_is_named_before_it_is_asked() {
        let root = host("trixie-one-path");
        let (_listener, port) = portal();
        let list = "instance=-1,cntlid=-1,transport=%s,traddr=%s,nqn=%s,hostnqn=%s,hostid=%s\n";
        put(&root, "dev/nvme-fabrics", list);
        let error = connect(&root, &tcp(port)).expect_err("no trsvcid");
        let ConnectError::Unsupported { tokens } = error else {
            panic!("{error:?}");
        };
        assert_eq!(tokens, TokenSet::TRSVCID);
    }

    #[test]
    fn a_conflicting_host_identity_is_found_before_the_dial() {
        let root = host("trixie-one-path");
        let mut builder = fixture::options(Transport::Tcp);
        builder.hostid(
            "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"
                .parse()
                .expect("a UUID"),
        );
        let options = builder.traddr("192.0.2.1").build().expect("valid options");
        let error = connect(&root, &options).expect_err("another hostid");
        assert!(
            matches!(error, ConnectError::HostIdConflict { .. }),
            "{error:?}"
        );
    }

    #[test]
    fn an_excluded_controller_is_not_even_adopted() {
        let root = host("trixie-one-path");
        let list = "[exclusions]\nexclusion = traddr=10.0.0.2\n";
        put(&root, "etc/nvme/exclusions.conf", list);
        let mut builder = fixture::options(Transport::Tcp);
        let options = builder.traddr("10.0.0.2").build().expect("valid options");
        let error = connect(&root, &options).expect_err("excluded");
        assert!(
            error
                .to_string()
                .contains("excluded by \"traddr=10.0.0.2\""),
            "{error}"
        );
    }

    #[test]
    fn a_controller_that_is_gone_at_once_is_reported() {
        let root = host("trixie-one-path");
        let (_listener, port) = portal();
        let options = tcp(port);
        put_device(&root, &options, "instance=9,cntlid=2\n");
        let error = connect(&root, &options).expect_err("no such controller");
        assert!(error.to_string().starts_with("nvme9 of "), "{error}");
    }

    #[test]
    fn without_the_module_the_error_says_so() {
        let root = host("trixie-one-path");
        let error = Fabrics::at(root.path()).supported().expect_err("no device");
        assert!(
            error.to_string().contains("nvme_fabrics is not loaded"),
            "{error}"
        );
    }
}
