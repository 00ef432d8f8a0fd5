//! Has the kernel make a controller, or adopts the one that it says exists.
//!
//! Invariant: a new controller is told from every other, has our name in the registry, and shows
//! its secrets to root alone.

use std::error::Error;

use nvme_sysfs::{Controller, ControllerState, Instance, Nqn};

use crate::device::connect;
use crate::error::ConnectError;
use crate::existing::{Candidates, find_existing};
use crate::fabrics::{ConnectHow, Connected, Fabrics};
use crate::held::HeldController;
use crate::intent::Intent;
use crate::kmsg::{KernelLog, explained};
use crate::open::open_device;
use crate::options::ConnectOptions;
use crate::refusal::{Refusal, Refused};
use crate::token::TokenSet;

/// Attributes that show a secret of the connect to whoever may read them.
const SECRETS: [&str; 2] = ["dhchap_secret", "dhchap_ctrl_secret"];

/// How often the kernel is asked: once more if the controller that it says exists has gone before
/// it is found.
const ATTEMPTS: u32 = 2;

/// A controller that the kernel has just made, held so that no other is mistaken for it.
#[derive(Debug)]
pub(crate) struct Created {
    /// Its number.
    pub(crate) controller: Instance,
    /// Its directory.
    pub(crate) held: HeldController,
    /// The subsystem it was made for.
    pub(crate) nqn: Nqn,
}

impl Fabrics {
    /// Asks the kernel by `create`. EALREADY is its word that the controller exists by now,
    /// whoever made it; one that is gone again when it is looked for leaves room for another.
    pub(crate) fn create_or_adopt(
        &self,
        options: &ConnectOptions,
        mut create: impl FnMut() -> Result<Created, ConnectError>,
    ) -> Result<Connected, ConnectError> {
        for _ in 0..ATTEMPTS {
            match create() {
                Err(error) if error.refusal() == Some(Refusal::AlreadyConnected) => {}
                answer => return connected(&answer?),
            }
            let controllers = self.sysfs().scan_controllers()?;
            if let Some(existing) = find_existing(&controllers, options, Candidates::All) {
                return self.adopt(existing, options);
            }
        }
        let refusal = Refusal::AlreadyConnected;
        Err(Refused::new(refusal, options.nqn().clone()).into())
    }

    /// The connection that is there already.
    pub(crate) fn adopt(
        &self,
        existing: &Controller,
        options: &ConnectOptions,
    ) -> Result<Connected, ConnectError> {
        let controller = existing.instance;
        // Who made it may have been killed before the secrets were closed.
        let held = HeldController::open(self.root(), controller).map_err(ConnectError::State)?;
        if let Some(held) = held {
            close_secrets(controller, &held, options);
            self.claim_left_behind(controller, &held, options);
        }
        Ok(Connected {
            controller,
            how: ConnectHow::Adopted,
            state: existing.state.clone(),
        })
    }

    /// Records that a controller is ours which a process of this program had the kernel make, and was
    /// killed before it could say so.
    fn claim_left_behind(
        &self,
        controller: Instance,
        held: &HeldController,
        options: &ConnectOptions,
    ) {
        let claimed = || -> Result<(), Box<dyn Error>> {
            let Some(_intent) = Intent::take_over(self.root(), options)? else {
                return Ok(());
            };
            if self.registry().owner(controller)?.is_none() {
                self.registry().claim(controller, held, self.owner())?;
            }
            Ok(())
        };
        if let Err(error) = claimed() {
            let error: &(dyn Error + 'static) = &*error;
            tracing::warn!(%controller, error, "cannot tell whether a controller is ours");
        }
    }

    /// Asks the kernel, and on a bare failure its log. The controller gets this crate's name in
    /// the ownership registry: whose it is can be told also when this process is killed later.
    pub(crate) fn create(&self, options: &ConnectOptions) -> Result<Created, ConnectError> {
        let tokens = self.supported()?.missing(options);
        if !tokens.is_empty() {
            return Err(ConnectError::Unsupported { tokens });
        }
        let mut device = open_device(self.root())?;
        let log = KernelLog::open(self.root());
        // Kept until the registry says whose the controller is.
        let intent = Intent::declare(self.root(), options);
        if let Err(error) = &intent {
            tracing::warn!(%error, "a controller may be left behind by a kill in this moment");
        }
        let reply =
            connect(&mut device, options).map_err(|error| explained(error, log, options))?;
        let controller = reply.instance;
        // The open device keeps the number from being reused: what is held now is the new one.
        let held = HeldController::open(self.root(), controller).map_err(ConnectError::State)?;
        let nqn = options.nqn().clone();
        let Some(held) = held else {
            return Err(ConnectError::Vanished { controller, nqn });
        };
        close_secrets(controller, &held, options);
        // A volume that works is worth more than its entry in a registry.
        if let Err(error) = self.registry().claim(controller, &held, self.owner()) {
            let error: &(dyn Error + 'static) = &error;
            tracing::warn!(%controller, error, "cannot record the owner of a controller");
        }
        Ok(Created {
            controller,
            held,
            nqn,
        })
    }
}

/// Reads the state of a new controller.
fn connected(created: &Created) -> Result<Connected, ConnectError> {
    let controller = created.controller;
    let state = created.held.read("state").map_err(ConnectError::State)?;
    let state = state.ok_or_else(|| ConnectError::Vanished {
        controller,
        nqn: created.nqn.clone(),
    })?;
    Ok(Connected {
        controller,
        how: ConnectHow::Created,
        state: ControllerState::from(state.as_str()),
    })
}

/// Leaves the secrets of a connect to root alone. Kernel 6.1, where it is built with authentication,
/// shows them to everybody (0644), later ones do not (0600). Until the connect returns nothing can
/// be done about it.
fn close_secrets(controller: Instance, held: &HeldController, options: &ConnectOptions) {
    let secrets = TokenSet::DHCHAP_SECRET | TokenSet::DHCHAP_CTRL_SECRET;
    if !options.tokens().intersects(secrets) {
        return;
    }
    for attribute in SECRETS {
        if let Err(error) = held.close_to_others(attribute) {
            let error: &(dyn Error + 'static) = &error;
            tracing::warn!(%controller, attribute, error, "a secret may be readable by everybody");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use nvme_sysfs::Transport;
    use tempfile::TempDir;

    use super::*;
    use crate::fixture::{self, attribute, host, put_device};

    const SECRET: &str = "DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:";

    /// A connected controller whose secrets everybody may read, as on 6.1.
    fn root() -> TempDir {
        let root = host("bookworm-one-path");
        for name in SECRETS {
            let path = attribute(&root, "nvme0", name);
            fs::write(&path, format!("{SECRET}\n")).expect("a file");
            fs::set_permissions(path, Permissions::from_mode(0o644)).expect("a mode");
        }
        root
    }

    fn modes(root: &TempDir) -> [u32; 2] {
        SECRETS.map(|name| {
            let metadata = fs::metadata(attribute(root, "nvme0", name)).expect("a file");
            metadata.permissions().mode() & 0o777
        })
    }

    fn with_secret() -> ConnectOptions {
        let mut builder = fixture::options(Transport::Loop);
        builder.dhchap_secret(SECRET.parse().expect("a secret"));
        builder.build().expect("valid options")
    }

    fn create(root: &TempDir, options: &ConnectOptions) {
        put_device(root, options, "instance=0,cntlid=1\n");
        let created = Fabrics::at(root.path()).create(options);
        created.expect("a controller");
    }

    #[test]
    fn secrets_given_to_a_connect_are_closed_to_everybody_but_root() {
        let root = root();
        create(&root, &with_secret());
        assert_eq!(modes(&root), [0o600, 0o600]);
    }

    #[test]
    fn secrets_that_a_killed_connect_left_open_are_closed_by_the_next_one() {
        let root = root();
        let mut builder = fixture::options(Transport::Tcp);
        builder.dhchap_secret(SECRET.parse().expect("a secret"));
        let options = builder.traddr("10.0.0.2").build().expect("valid options");
        let connected = Fabrics::at(root.path()).connect(&options, Duration::ZERO);
        assert_eq!(connected.expect("adopted").how, ConnectHow::Adopted);
        assert_eq!(modes(&root), [0o600, 0o600]);
    }

    #[test]
    fn the_attributes_of_a_connect_without_secret_stay_as_they_are() {
        let root = root();
        let builder = fixture::options(Transport::Loop);
        let options = builder.build().expect("valid options");
        create(&root, &options);
        assert_eq!(modes(&root), [0o644, 0o644]);
    }

    #[test]
    fn a_kernel_without_the_attributes_connects_all_the_same() {
        create(&host("bookworm-one-path"), &with_secret());
    }

    fn tcp(traddr: &str) -> ConnectOptions {
        let mut builder = fixture::options(Transport::Tcp);
        builder.traddr(traddr).build().expect("valid options")
    }

    /// The kernel's answer EALREADY.
    fn already() -> Result<Created, ConnectError> {
        Err(Refused::new(Refusal::AlreadyConnected, fixture::volume()).into())
    }

    #[test]
    fn a_controller_that_the_kernel_says_exists_is_adopted_even_before_it_is_identified() {
        let root = host("trixie-connecting");
        fs::write(attribute(&root, "nvme0", "subsysnqn"), "(efault)\n").expect("a file");
        let options = tcp("10.0.0.2");
        let connected = Fabrics::at(root.path()).create_or_adopt(&options, already);
        let connected = connected.expect("a controller");
        assert_eq!(connected.controller, Instance(0));
        assert_eq!(connected.how, ConnectHow::Adopted);
        assert_eq!(connected.state, ControllerState::Connecting);
    }

    #[test]
    fn a_controller_that_went_after_the_kernel_said_it_exists_is_asked_for_once_more() {
        let root = host("trixie-one-path");
        let (fabrics, options) = (Fabrics::at(root.path()), tcp("192.0.2.1"));
        let mut asked = 0;
        let connected = fabrics.create_or_adopt(&options, || {
            asked += 1;
            if asked == 1 {
                return already();
            }
            let held = HeldController::open(root.path(), Instance(0)).expect("readable");
            Ok(Created {
                controller: Instance(0),
                held: held.expect("nvme0"),
                nqn: fixture::volume(),
            })
        });
        assert_eq!(connected.expect("a controller").how, ConnectHow::Created);
        let mut asked = 0;
        let error = fabrics.create_or_adopt(&options, || {
            asked += 1;
            already()
        });
        let error = error.map(|_| ()).expect_err("no controller");
        assert_eq!(error.refusal(), Some(Refusal::AlreadyConnected), "{error}");
        assert_eq!(asked, 2);
    }
}
