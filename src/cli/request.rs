//! Options of a connect before it is known who this host is.
//!
//! Invariants: everything the command line says was checked when the request was made; completing it reads only the
//! identity of this host. A host without an identity gets one with its first controller, and not before: what the
//! controller was connected with is what is stored, or the controller does not stay, unless the program is ended before.

use std::path::Path;

use nvme_fabrics::{
    ConnectOptions, ConnectOptionsBuilder, HostIdentity, IdentityError, OptionsError, Stored,
    Unstored,
};
use nvme_sysfs::Nqn;
use thiserror::Error;

/// How often who this host is may change while it is connected: it gets an identity once.
const ATTEMPTS: u32 = 3;

/// Checked options, complete but for the host's identity.
#[derive(Debug)]
pub(crate) struct Request {
    builder: ConnectOptionsBuilder,
    options: ConnectOptions,
}

/// What a connect would ask the kernel, as far as it is known before.
#[derive(Debug)]
pub(crate) struct Preview {
    options: ConnectOptions,
    /// The name of a host that has no identifier yet: options have both or none.
    hostnqn: Option<Nqn>,
}

impl Preview {
    /// The option string without its secrets.
    pub(crate) fn masked(&self) -> String {
        let options = self.options.masked();
        match &self.hostnqn {
            Some(hostnqn) => format!("{options},hostnqn={hostnqn}"),
            None => options,
        }
    }
}

/// Why a request could not be completed.
#[derive(Debug, Error)]
pub enum RequestError {
    /// This host has no identity, and none can be made.
    #[error("cannot tell who this host is")]
    Identity(#[from] IdentityError),
    /// Somebody else changes it all the time.
    #[error("the identity of this host does not hold still")]
    Unsettled,
    /// With the identity the options break a rule.
    #[error("wrong options")]
    Options(#[from] OptionsError),
}

impl Request {
    /// Checks what the builder was given.
    pub(crate) fn new(builder: ConnectOptionsBuilder) -> Result<Request, OptionsError> {
        let options = builder.build()?;
        Ok(Request { builder, options })
    }

    /// The options that were given.
    pub(crate) fn options(&self) -> &ConnectOptions {
        &self.options
    }

    /// Does what needs an identity, `act`, and stores the identity if this host had none. If somebody else has stored
    /// another one meanwhile, or it cannot be stored, or `act` fails, which it may after the kernel has made a controller,
    /// what was done with these options is taken back by `undo`; in the first case it is done again as who this host is by
    /// now.
    ///
    /// # Errors
    /// Those of `act`, and [`RequestError`].
    pub(crate) fn carry_out<T, E: From<RequestError>>(
        &self,
        root: &Path,
        mut act: impl FnMut(&ConnectOptions) -> Result<T, E>,
        undo: impl Fn(&ConnectOptions),
    ) -> Result<(ConnectOptions, T), E> {
        for _ in 0..ATTEMPTS {
            let (options, unstored) = self.identified(root)?;
            let done = match act(&options) {
                Err(error) => {
                    if unstored.is_some() {
                        undo(&options);
                    }
                    return Err(error);
                }
                Ok(done) => done,
            };
            match unstored.map_or(Ok(Stored::Ours), Unstored::store) {
                Ok(Stored::Ours) => return Ok((options, done)),
                Ok(Stored::Others) => undo(&options),
                Err(error) => {
                    undo(&options);
                    return Err(RequestError::from(error).into());
                }
            }
        }
        Err(RequestError::Unsettled.into())
    }

    /// Whether it is known already who this host is, so that another connect is the same host's.
    pub(crate) fn is_named(&self, root: &Path) -> bool {
        self.options.hostnqn().is_some() || HostIdentity::load(root).is_ok()
    }

    /// Adds who this host is, unless that was given, with what is to be stored of it.
    fn identified(&self, root: &Path) -> Result<(ConnectOptions, Option<Unstored>), RequestError> {
        if self.options.hostnqn().is_some() {
            return Ok((self.options.clone(), None));
        }
        let (loaded, unstored) = HostIdentity::load_or_make(root)?;
        Ok((self.with_identity(loaded.identity)?, unstored))
    }

    /// The same, with nothing made or written: a host that is nobody yet stays so.
    pub(crate) fn previewed(&self, root: &Path) -> Result<Preview, RequestError> {
        let whole = |options| Preview {
            options,
            hostnqn: None,
        };
        if self.options.hostnqn().is_some() {
            return Ok(whole(self.options.clone()));
        }
        match HostIdentity::load(root) {
            Ok(loaded) => self.with_identity(loaded.identity).map(whole),
            Err(IdentityError::NotFound { path }) => {
                tracing::warn!(path = %path.display(), "this host has no identity; a connect would make one");
                Ok(whole(self.options.clone()))
            }
            Err(IdentityError::NoHostId { hostnqn, path }) => {
                tracing::warn!(path = %path.display(), "this host has no identifier; a connect would make one");
                Ok(Preview {
                    options: self.options.clone(),
                    hostnqn: Some(hostnqn),
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    fn with_identity(&self, identity: HostIdentity) -> Result<ConnectOptions, RequestError> {
        let HostIdentity { hostnqn, hostid } = identity;
        let mut builder = self.builder.clone();
        builder.hostnqn(hostnqn).hostid(hostid);
        Ok(builder.build()?)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::fs;

    use nvme_sysfs::Transport;

    use super::*;

    fn request() -> Request {
        let nqn = "nqn.2026-01.org.example:a".parse().expect("an NQN");
        let mut builder = ConnectOptions::builder(Transport::Tcp, nqn);
        builder.traddr("192.0.2.1");
        Request::new(builder).expect("valid options")
    }

    #[test]
    fn what_fails_leaves_no_identity_behind_and_is_undone_as_who_tried() {
        let root = tempfile::tempdir().expect("a directory");
        let (tried, undone) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
        let refused = |options: &ConnectOptions| {
            tried.borrow_mut().push(options.hostid().copied());
            Err::<(), _>(RequestError::Unsettled)
        };
        let undo = |options: &ConnectOptions| undone.borrow_mut().push(options.hostid().copied());
        let done = request().carry_out(root.path(), refused, undo);
        assert!(done.is_err());
        assert!(!root.path().join("etc").exists());
        let tried = tried.into_inner();
        assert_eq!((tried.len(), tried), (1, undone.into_inner()));
    }

    #[test]
    fn what_fails_as_a_host_with_a_stored_identity_is_not_undone() {
        let root = tempfile::tempdir().expect("a directory");
        let act = |_: &ConnectOptions| Ok::<_, RequestError>(());
        assert!(!request().is_named(root.path()));
        let done = request().carry_out(root.path(), act, |_| panic!("nothing to undo"));
        done.expect("done");
        assert!(request().is_named(root.path()));
        let refused = |_: &ConnectOptions| Err::<(), _>(RequestError::Unsettled);
        let done = request().carry_out(root.path(), refused, |_| panic!("the next one adopts it"));
        assert!(done.is_err());
    }

    #[test]
    fn the_identity_that_was_used_is_the_one_that_is_stored() {
        let root = tempfile::tempdir().expect("a directory");
        let act = |_: &ConnectOptions| Ok::<_, RequestError>(());
        let (options, ()) = request()
            .carry_out(root.path(), act, |_| panic!("nothing to undo"))
            .expect("done");
        let stored = HostIdentity::load(root.path()).expect("an identity");
        assert_eq!(options.hostnqn(), Some(&stored.identity.hostnqn));
        assert_eq!(options.hostid(), Some(&stored.identity.hostid));
    }

    #[test]
    fn what_was_done_as_another_host_is_undone_and_done_again_as_this_one() {
        const HOSTID: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
        let root = tempfile::tempdir().expect("a directory");
        let (calls, undone) = (Cell::new(0), RefCell::new(Vec::new()));
        // Somebody else names the host while the kernel connects.
        let act = |_: &ConnectOptions| {
            calls.set(calls.get() + 1);
            let etc = root.path().join("etc/nvme");
            fs::create_dir_all(&etc).expect("a directory");
            fs::write(etc.join("hostid"), format!("{HOSTID}\n")).expect("a file");
            Ok::<_, RequestError>(calls.get())
        };
        let undo = |options: &ConnectOptions| undone.borrow_mut().push(options.hostid().copied());
        let (options, done) = request().carry_out(root.path(), act, undo).expect("done");
        assert_eq!(done, 2);
        assert_eq!(
            options.hostid().map(ToString::to_string).as_deref(),
            Some(HOSTID)
        );
        let undone = undone.into_inner();
        assert!(matches!(undone[..], [other] if other != options.hostid().copied()));
    }
}
