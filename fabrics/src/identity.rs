//! Who this host is to a target: hostnqn and hostid.
//!
//! The order of nvme-cli and libnvme: `/etc/nvme/hostnqn` and `/etc/nvme/hostid`, else the
//! machine's UUID from DMI or the device tree, else a random UUID that is made once and kept in
//! `/etc/nvme`. Where only one of the two is configured, the other follows from its UUID.
//!
//! Invariant: loading writes nothing, and no existing file is ever replaced. Environment
//! variables are the program's business, not this library's.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use nvme_sysfs::{Nqn, ParseIdentityError, ParseNqnError, Uuid};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::bounded::read_text;
use crate::firmware::{IdentitySource, machine_uuid};
use crate::replace::{Existing, write_file};

/// What stands before the UUID in the NQN of a host that has no name of its own.
const UUID_NQN: &str = "nqn.2014-08.org.nvmexpress:uuid:";

/// Longer than either file.
const MAX_FILE: usize = 4096;

/// The pair that names a host. The kernel wants it to be 1:1 on each host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostIdentity {
    /// Name of the host.
    pub hostnqn: Nqn,
    /// UUID of the host.
    pub hostid: Uuid,
}

/// An identity and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedIdentity {
    /// The pair.
    pub identity: HostIdentity,
    /// Its source.
    pub source: IdentitySource,
}

/// An identity that was made and is not the host's yet.
#[derive(Debug)]
#[must_use = "what was connected with it is nobody's until it is stored"]
pub struct Unstored {
    texts: Vec<(PathBuf, String)>,
}

/// Whose identity the host has by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// That which was to be stored.
    Ours,
    /// Another one, which somebody else has stored meanwhile.
    Others,
}

impl Unstored {
    /// Makes it the identity of the host, for good, unless the host has one by now.
    ///
    /// # Errors
    /// It cannot be stored; then the host has none, or half of this one.
    pub fn store(self) -> Result<Stored, IdentityError> {
        for (path, text) in self.texts {
            match store(&path, &text) {
                // Another process was faster: its identity is the host's.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    return Ok(Stored::Others);
                }
                Err(source) => return Err(IdentityError::Store { path, source }),
                Ok(()) => {}
            }
        }
        Ok(Stored::Ours)
    }
}

/// Why there is no host identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Neither configuration nor firmware names the host.
    #[error("no host identity: neither {} nor the firmware names this host", path.display())]
    NotFound {
        /// The file that would name it.
        path: PathBuf,
    },
    /// The configured name contains no UUID that the hostid could follow from.
    #[error("no hostid: {hostnqn} contains no UUID and {} does not exist", path.display())]
    NoHostId {
        /// The configured name.
        hostnqn: Nqn,
        /// The file that would hold it.
        path: PathBuf,
    },
    /// The file does not hold an NQN.
    #[error("{} holds no valid hostnqn", path.display())]
    HostNqn {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ParseNqnError,
    },
    /// The file does not hold a UUID.
    #[error("{} holds no valid hostid", path.display())]
    HostId {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ParseIdentityError,
    },
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the read answered.
        source: io::Error,
    },
    /// The generated identity could not be stored, so it was not used either.
    #[error("cannot store the host identity in {}", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// What the write answered, for example that the file system is read-only.
        source: io::Error,
    },
    /// The kernel gave no random bytes.
    #[error("cannot generate a host identity")]
    Random(#[source] io::Error),
}

impl HostIdentity {
    /// The identity of the host below `root`, without writing anything.
    ///
    /// # Errors
    /// There is none, or a configured one is malformed.
    pub fn load(root: impl AsRef<Path>) -> Result<LoadedIdentity, IdentityError> {
        let files = Files::below(root.as_ref());
        let hostnqn = files.hostnqn()?;
        let hostid = files.hostid()?;
        let identity = match (hostnqn, hostid) {
            (Some(hostnqn), Some(hostid)) => HostIdentity { hostnqn, hostid },
            (Some(hostnqn), None) => match HostIdentity::uuid_of(&hostnqn) {
                Some(hostid) => HostIdentity { hostnqn, hostid },
                None => {
                    let path = files.hostid;
                    return Err(IdentityError::NoHostId { hostnqn, path });
                }
            },
            (None, Some(hostid)) => HostIdentity::from_uuid(hostid),
            (None, None) => return from_firmware(root.as_ref(), files.hostnqn),
        };
        let source = IdentitySource::Configured;
        Ok(LoadedIdentity { identity, source })
    }

    /// The identity of the host; where there is none, one is made and stored for good.
    ///
    /// # Errors
    /// A configured one is malformed, or the new one cannot be stored.
    pub fn load_or_generate(root: impl AsRef<Path>) -> Result<LoadedIdentity, IdentityError> {
        let (loaded, unstored) = HostIdentity::load_or_make(root.as_ref())?;
        match unstored.map_or(Ok(Stored::Ours), Unstored::store)? {
            Stored::Ours => Ok(loaded),
            Stored::Others => HostIdentity::load(root),
        }
    }

    /// The identity of the host; where there is none, one that is not stored yet. It is the host's once
    /// [`Unstored::store`] says so.
    ///
    /// # Errors
    /// A configured one is malformed.
    pub fn load_or_make(
        root: impl AsRef<Path>,
    ) -> Result<(LoadedIdentity, Option<Unstored>), IdentityError> {
        let files = Files::below(root.as_ref());
        let identity = match HostIdentity::load(root) {
            Err(IdentityError::NotFound { .. }) => HostIdentity::from_uuid(random_uuid()?),
            Err(IdentityError::NoHostId { hostnqn, .. }) => HostIdentity {
                hostnqn,
                hostid: random_uuid()?,
            },
            loaded => return Ok((loaded?, None)),
        };
        // The name is stored last: whoever finds only the UUID has the same name of it. One that was configured stays.
        let hostnqn = format!("{}\n", identity.hostnqn);
        let is_derived = identity == HostIdentity::from_uuid(identity.hostid);
        let mut texts = vec![(files.hostid, format!("{}\n", identity.hostid))];
        texts.extend(is_derived.then_some((files.hostnqn, hostnqn)));
        let source = IdentitySource::Generated;
        let loaded = LoadedIdentity { identity, source };
        Ok((loaded, Some(Unstored { texts })))
    }

    /// An identity of the firmware's UUID, or of a random one where the firmware gives none. It is not stored, and what is
    /// configured is not looked at.
    ///
    /// # Errors
    /// The kernel gave no random bytes.
    pub fn of_machine(root: impl AsRef<Path>) -> Result<HostIdentity, IdentityError> {
        match machine_uuid(root) {
            Some((uuid, _)) => Ok(HostIdentity::from_uuid(uuid)),
            None => Ok(HostIdentity::from_uuid(random_uuid()?)),
        }
    }

    /// The UUID at the end of a host NQN of the UUID form, which then is the host's identifier, too.
    #[must_use]
    pub fn uuid_of(hostnqn: &Nqn) -> Option<Uuid> {
        hostnqn.as_str().strip_prefix(UUID_NQN)?.parse().ok()
    }

    /// The identity of a host that is known by a UUID alone.
    #[must_use]
    pub fn from_uuid(hostid: Uuid) -> HostIdentity {
        let hostnqn = format!("{UUID_NQN}{hostid}")
            .parse()
            .expect("the UUID form is a valid NQN");
        HostIdentity { hostnqn, hostid }
    }
}

/// The two files of the convention.
struct Files {
    hostnqn: PathBuf,
    hostid: PathBuf,
}

impl Files {
    fn below(root: &Path) -> Files {
        let etc = root.join("etc/nvme");
        Files {
            hostnqn: etc.join("hostnqn"),
            hostid: etc.join("hostid"),
        }
    }

    fn hostnqn(&self) -> Result<Option<Nqn>, IdentityError> {
        let path = self.hostnqn.clone();
        read_line(&path)?
            .map(|line| line.parse())
            .transpose()
            .map_err(|source| IdentityError::HostNqn { path, source })
    }

    fn hostid(&self) -> Result<Option<Uuid>, IdentityError> {
        let path = self.hostid.clone();
        read_line(&path)?
            .map(|line| line.parse())
            .transpose()
            .map_err(|source| IdentityError::HostId { path, source })
    }
}

/// The trimmed content of a file, `None` when there is no such file.
fn read_line(path: &Path) -> Result<Option<String>, IdentityError> {
    match read_text(path, MAX_FILE) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => {
            let path = path.to_owned();
            Err(IdentityError::Read { path, source })
        }
    }
}

fn from_firmware(root: &Path, missing: PathBuf) -> Result<LoadedIdentity, IdentityError> {
    let (uuid, source) = machine_uuid(root).ok_or(IdentityError::NotFound { path: missing })?;
    let identity = HostIdentity::from_uuid(uuid);
    Ok(LoadedIdentity { identity, source })
}

/// A random UUID (RFC 9562, version 4).
fn random_uuid() -> Result<Uuid, IdentityError> {
    let mut bytes = [0; 16];
    getrandom(&mut bytes, GetRandomFlags::empty())
        .map_err(|errno| IdentityError::Random(errno.into()))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Ok(Uuid::from_bytes(bytes).expect("the version bits are not zero"))
}

fn store(path: &Path, text: &str) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    write_file(path, text, Existing::Keep)
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use tempfile::TempDir;

    use super::*;
    use crate::fixture::{HOSTID, HOSTNQN, put};

    const CUSTOM: &str = "nqn.2024-01.com.example:host1";

    fn root() -> TempDir {
        tempfile::tempdir().expect("a temporary directory")
    }

    fn load(root: &TempDir) -> Result<LoadedIdentity, IdentityError> {
        HostIdentity::load(root.path())
    }

    /// The pair as text.
    fn pair(loaded: &LoadedIdentity) -> (String, String) {
        let identity = &loaded.identity;
        (identity.hostnqn.to_string(), identity.hostid.to_string())
    }

    fn read(root: &TempDir, name: &str) -> String {
        fs::read_to_string(root.path().join("etc/nvme").join(name)).expect(name)
    }

    #[test]
    fn the_configured_pair_is_used_as_it_is() {
        let root = root();
        put(&root, "etc/nvme/hostnqn", &format!("{CUSTOM}\n"));
        put(
            &root,
            "etc/nvme/hostid",
            &format!("{}\n", HOSTID.to_uppercase()),
        );
        let loaded = load(&root).expect("a pair");
        assert_eq!(loaded.source, IdentitySource::Configured);
        assert_eq!(pair(&loaded), (CUSTOM.to_owned(), HOSTID.to_owned()));
    }

    #[test]
    fn one_half_follows_from_the_uuid_of_the_other() {
        for (name, text) in [("hostnqn", HOSTNQN), ("hostid", HOSTID)] {
            let root = root();
            put(&root, &format!("etc/nvme/{name}"), &format!("{text}\n"));
            put(
                &root,
                "sys/class/dmi/id/product_uuid",
                "00112233-4455-6677-8899-aabbccddeeff",
            );
            let loaded = load(&root).expect("a pair");
            assert_eq!(
                pair(&loaded),
                (HOSTNQN.to_owned(), HOSTID.to_owned()),
                "{name}"
            );
        }
    }

    #[test]
    fn firmware_names_a_host_that_is_not_configured_and_nothing_is_stored() {
        let root = root();
        put(
            &root,
            "sys/class/dmi/id/product_uuid",
            &format!("{HOSTID}\n"),
        );
        let loaded = HostIdentity::load_or_generate(root.path()).expect("a pair");
        assert_eq!(loaded.source, IdentitySource::ProductUuid);
        assert_eq!(pair(&loaded), (HOSTNQN.to_owned(), HOSTID.to_owned()));
        assert!(!root.path().join("etc").exists());
    }

    #[test]
    fn an_identity_is_generated_once_and_stays() {
        let root = root();
        let error = load(&root).expect_err("nothing names the host");
        assert!(matches!(error, IdentityError::NotFound { .. }), "{error:?}");
        let made = HostIdentity::load_or_generate(root.path()).expect("a new pair");
        assert_eq!(made.source, IdentitySource::Generated);
        let again = HostIdentity::load_or_generate(root.path()).expect("the stored pair");
        assert_eq!(again.source, IdentitySource::Configured);
        assert_eq!(again.identity, made.identity);
        let (hostnqn, hostid) = pair(&made);
        assert_eq!(read(&root, "hostnqn"), format!("{hostnqn}\n"));
        assert_eq!(read(&root, "hostid"), format!("{hostid}\n"));
        assert_eq!(hostnqn, format!("{UUID_NQN}{hostid}"));
        assert_eq!(hostid.as_bytes()[14], b'4', "version 4");
    }

    #[test]
    fn an_identity_that_was_made_is_the_hosts_only_once_it_is_stored() {
        let root = root();
        let make = || HostIdentity::load_or_make(root.path()).expect("a pair");
        let ((first, unstored), (second, late)) = (make(), make());
        assert_ne!(first.identity, second.identity);
        assert!(!root.path().join("etc").exists());
        let store = |it: Option<Unstored>| it.expect("a new pair").store().expect("stored");
        assert_eq!(store(unstored), Stored::Ours);
        assert_eq!(store(late), Stored::Others);
        let (loaded, stored) = make();
        assert_eq!(loaded.identity, first.identity);
        assert!(stored.is_none());
    }

    #[test]
    fn a_name_without_uuid_gets_a_hostid_of_its_own() {
        let root = root();
        put(&root, "etc/nvme/hostnqn", CUSTOM);
        let error = load(&root).expect_err("no UUID");
        assert!(
            error
                .to_string()
                .starts_with(&format!("no hostid: {CUSTOM}")),
            "{error}"
        );
        let made = HostIdentity::load_or_generate(root.path()).expect("a hostid");
        assert_eq!(read(&root, "hostnqn"), CUSTOM, "never overwritten");
        assert_eq!(read(&root, "hostid"), format!("{}\n", made.identity.hostid));
    }

    #[test]
    fn a_malformed_file_is_named_and_never_replaced() {
        for (name, text) in [
            ("hostnqn", ""),
            ("hostnqn", "two\nlines"),
            ("hostnqn", "a,b"),
            ("hostid", "not-a-uuid"),
            ("hostid", "00000000-0000-0000-0000-000000000000"),
        ] {
            let root = root();
            put(&root, &format!("etc/nvme/{name}"), text);
            let error = HostIdentity::load_or_generate(root.path()).expect_err(text);
            let expected = format!("etc/nvme/{name} holds no valid {name}");
            assert!(error.to_string().ends_with(&expected), "{error}");
            assert!(error.source().is_some());
            assert_eq!(read(&root, name), text);
        }
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_named() {
        let root = root();
        put(&root, "etc/nvme", "a file where a directory should be");
        let error = store(&root.path().join("etc/nvme/hostid"), HOSTID).expect_err("a file");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        let error = HostIdentity::load_or_generate(root.path()).expect_err("a file");
        assert!(error.to_string().ends_with("etc/nvme/hostnqn"), "{error}");
    }
}
