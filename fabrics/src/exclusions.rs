//! Controllers that the administrator wants left alone: `/etc/nvme/exclusions.conf` and
//! `/etc/nvme/exclusions.conf.d/*.conf`, shared with libnvme 3.
//!
//! Format: in a section `[exclusions]`, one entry a line, `exclusion = key=value;key=value`, with
//! the keys transport, traddr, trsvcid, nqn, host-traddr, host-iface, hostnqn, hostid. An entry
//! matches a controller when every key it has is equal there; addresses compare by value. A
//! malformed entry matches nothing, as for libnvme, and is listed in [`Exclusions::ignored`]. So is a list that cannot be
//! read: a byte that is wrong in it must not keep volumes from coming back.
//!
//! A list says what nobody is to connect. It says nothing about what leaves.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use nvme_sysfs::{Controller, Transport, TransportAddress, Uuid, same_address};

use crate::bounded::read_bytes;

/// The keys an entry may have, as nvme-cli spells its options.
const KEYS: [&str; 8] = [
    "transport",
    "traddr",
    "trsvcid",
    "nqn",
    "host-traddr",
    "host-iface",
    "hostnqn",
    "hostid",
];

/// libnvme's own limit of one list.
const MAX_LIST: usize = 1024 * 1024;

/// The exclusions of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exclusions {
    entries: Vec<Exclusion>,
    ignored: Vec<Ignored>,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclusion {
    /// Its file.
    pub path: PathBuf,
    /// What stands behind `exclusion =`.
    pub text: String,
    fields: Vec<(&'static str, String)>,
}

/// Something that excludes nothing: a line that looks like an entry and is none, or a list that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// The file, or the directory of lists.
    pub path: PathBuf,
    /// Number of the line, from 1; `None` for all of it.
    pub line: Option<usize>,
    /// What is wrong.
    pub reason: String,
}

/// `PATH line N: REASON`.
impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, " line {line}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// A controller, existing or wanted, for comparison with the entries.
///
/// Names are texts: an entry must also match a subsystem whose name is no [`Nqn`](nvme_sysfs::Nqn).
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Its transport.
    pub transport: &'a Transport,
    /// Its address.
    pub address: &'a TransportAddress,
    /// Its subsystem's name, as the kernel prints it.
    pub nqn: Option<&'a str>,
    /// The host's name, as the kernel prints it.
    pub hostnqn: Option<&'a str>,
    /// The host's UUID.
    pub hostid: Option<&'a Uuid>,
}

impl<'a> From<&'a Controller> for Candidate<'a> {
    fn from(controller: &'a Controller) -> Candidate<'a> {
        Candidate {
            transport: &controller.transport,
            address: &controller.address,
            nqn: controller.subsysnqn_text.as_deref(),
            hostnqn: controller.hostnqn_text.as_deref(),
            hostid: controller.hostid.as_ref(),
        }
    }
}

impl Exclusions {
    /// Reads all lists below `root`; there being none is normal.
    #[must_use]
    pub fn load(root: impl AsRef<Path>) -> Exclusions {
        let etc = root.as_ref().join("etc/nvme");
        let mut exclusions = Exclusions::default();
        let mut files = vec![etc.join("exclusions.conf")];
        let directory = etc.join("exclusions.conf.d");
        match drop_ins(&directory) {
            Ok(found) => files.extend(found),
            Err(error) => exclusions.ignore(directory, &error),
        }
        for path in files {
            match read_bytes(&path, MAX_LIST) {
                Ok(bytes) => exclusions.parse(&path, &String::from_utf8_lossy(&bytes)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => exclusions.ignore(path, &error),
            }
        }
        exclusions
    }

    fn ignore(&mut self, path: PathBuf, error: &io::Error) {
        self.ignored.push(Ignored {
            path,
            line: None,
            reason: error.to_string(),
        });
    }

    /// The first entry that matches `candidate`.
    #[must_use]
    pub fn find(&self, candidate: &Candidate<'_>) -> Option<&Exclusion> {
        self.entries.iter().find(|entry| entry.matches(candidate))
    }

    /// What excludes nothing, though somebody may think so.
    #[must_use]
    pub fn ignored(&self) -> &[Ignored] {
        &self.ignored
    }

    fn parse(&mut self, path: &Path, text: &str) {
        let mut inside = false;
        for (index, line) in text.lines().map(str::trim).enumerate() {
            if let Some(header) = line.strip_prefix('[') {
                inside = header.split(']').next().map(str::trim) == Some("exclusions")
                    && header.contains(']');
                continue;
            }
            let Some(("exclusion", entry)) = key_value(line) else {
                continue;
            };
            let fields = if inside {
                parse_entry(entry)
            } else {
                Err("stands outside of [exclusions]".to_owned())
            };
            let path = path.to_owned();
            match fields {
                Ok(fields) => self.entries.push(Exclusion {
                    path,
                    text: entry.to_owned(),
                    fields,
                }),
                Err(reason) => self.ignored.push(Ignored {
                    path,
                    line: Some(index + 1),
                    reason,
                }),
            }
        }
    }
}

impl Exclusion {
    fn matches(&self, candidate: &Candidate<'_>) -> bool {
        let mut fields = self.fields.iter();
        fields.all(|(key, wanted)| candidate.has(key, wanted))
    }
}

impl Candidate<'_> {
    /// Whether what the candidate has under `key` is `wanted`: addresses and UUIDs by value, the
    /// rest byte for byte.
    fn has(&self, key: &str, wanted: &str) -> bool {
        let address = self.address;
        let same_as = |found: &Option<String>| {
            let found = found.as_deref();
            found.is_some_and(|found| same_address(wanted, found))
        };
        match key {
            "transport" => self.transport.as_str() == wanted,
            "traddr" => same_as(&address.traddr),
            "trsvcid" => address.trsvcid.as_deref() == Some(wanted),
            "nqn" => self.nqn == Some(wanted),
            "host-traddr" => same_as(&address.host_traddr),
            "host-iface" => address.host_iface.as_deref() == Some(wanted),
            "hostnqn" => self.hostnqn == Some(wanted),
            _ => self.hostid.is_some() && self.hostid == wanted.parse().ok().as_ref(),
        }
    }
}

/// The `*.conf` files of `dir` in alphabetical order; none when there is no such directory.
fn drop_ins(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "conf")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// `key = value` with blanks trimmed; comments and everything else are `None`.
fn key_value(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once('=').filter(|_| !line.starts_with('#'))?;
    Some((key.trim(), value.trim()))
}

fn parse_entry(text: &str) -> Result<Vec<(&'static str, String)>, String> {
    let mut fields = Vec::new();
    for piece in text
        .split(';')
        .map(str::trim)
        .filter(|piece| !piece.is_empty())
    {
        let Some((key, value)) = key_value(piece) else {
            return Err(format!("{piece:?} is not of the form key=value"));
        };
        let Some(key) = KEYS.into_iter().find(|known| *known == key) else {
            return Err(format!("{key:?} is none of {}", KEYS.join(", ")));
        };
        if value.is_empty() {
            return Err(format!("{key} has no value"));
        }
        fields.push((key, value.to_owned()));
    }
    if fields.is_empty() {
        return Err("the entry is empty".to_owned());
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use nvme_sysfs::{Instance, Sysfs};

    use super::*;
    use crate::fixture::{HOSTID, attribute, host};

    const NQN: &str = "nqn.2024-01.com.example:vol1";

    fn parsed(text: &str) -> Exclusions {
        let mut exclusions = Exclusions::default();
        exclusions.parse(Path::new("list.conf"), text);
        exclusions
    }

    /// Whether `entry` alone excludes vol1 at [2001:db8::1]:4420 over TCP.
    fn excludes(entry: &str) -> bool {
        excludes_at(Transport::Tcp, "traddr=2001:db8::1,trsvcid=4420", entry)
    }

    /// Whether `entry` alone excludes vol1 at this address.
    fn excludes_at(transport: Transport, address: &str, entry: &str) -> bool {
        let hostid = HOSTID.parse().expect("a UUID");
        let candidate = Candidate {
            transport: &transport,
            address: &TransportAddress::parse_attribute(address),
            nqn: Some(NQN),
            hostnqn: None,
            hostid: Some(&hostid),
        };
        let list = parsed(&format!("[exclusions]\nexclusion = {entry}\n"));
        list.find(&candidate).is_some()
    }

    #[test]
    fn an_entry_matches_by_the_fields_it_has() {
        assert!(excludes(&format!("nqn={NQN}")));
        assert!(excludes("transport=tcp"));
        assert!(excludes("traddr=2001:DB8:0::1; trsvcid=4420"));
        assert!(!excludes("traddr=2001:db8::1;trsvcid=8009"));
        assert!(
            !excludes("nqn=nqn.2024-01.com.example:vol"),
            "no substrings"
        );
        assert!(!excludes("host-iface=eth0"), "the controller has none");
        assert!(!excludes("hostnqn=x"), "the controller has none");
        assert!(excludes(&format!("hostid={}", HOSTID.to_uppercase())));
        assert!(!excludes("hostid=bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"));
        assert!(!excludes("hostid=x"));
    }

    #[test]
    fn an_address_matches_however_it_is_spelt() {
        for (transport, found, wanted) in [
            (Transport::Tcp, "10.0.0.1", "::ffff:10.0.0.1"),
            (Transport::Tcp, "fe80::1%eth0", "FE80:0::1%eth0"),
            (Transport::Fc, "nn-0xab:pn-0xcd", "nn-0xAB:pn-0xCD"),
        ] {
            let address = format!("traddr={found},host_traddr={found}");
            let entry = format!("traddr={wanted};host-traddr={wanted}");
            assert!(excludes_at(transport, &address, &entry), "{entry}");
        }
        let scoped = "traddr=fe80::1%eth0";
        assert!(!excludes_at(Transport::Tcp, scoped, "traddr=fe80::1%eth1"));
    }

    #[test]
    fn a_controller_whose_subsystem_has_no_valid_name_is_found_by_its_text() {
        let root = host("trixie-one-path");
        fs::write(attribute(&root, "nvme0", "subsysnqn"), "nqn.odd/name\n").expect("a file");
        let tree = Sysfs::at(root.path()).scan().expect("a captured tree");
        let controller = tree.find_controller(Instance(0)).expect("nvme0");
        assert_eq!(controller.subsysnqn, None);
        let list = parsed("[exclusions]\nexclusion = nqn=nqn.odd/name\n");
        assert!(list.find(&Candidate::from(controller)).is_some());
    }

    #[test]
    fn a_malformed_entry_excludes_nothing_and_is_reported() {
        for (entry, reason) in [
            ("", "the entry is empty"),
            (";;", "the entry is empty"),
            ("transport", "not of the form"),
            ("transport=", "has no value"),
            ("subsysnqn=x;transport=tcp", "is none of"),
        ] {
            assert!(!excludes(entry), "{entry:?}");
            let list = parsed(&format!("[exclusions]\nexclusion = {entry}\n"));
            assert_eq!(list.ignored()[0].line, Some(2));
            assert!(list.ignored()[0].reason.contains(reason), "{entry:?}");
        }
    }

    #[test]
    fn only_the_section_counts() {
        let list = parsed(
            "# comment\nexclusion = transport=tcp\n[future]\nexclusion = transport=tcp\n\
             [exclusions\nexclusion = transport=tcp\n#exclusion = transport=tcp\n",
        );
        assert_eq!(list.entries, []);
        assert_eq!(list.ignored().len(), 3);
        let list = parsed("[ exclusions ] \n exclusion=transport=tcp\nother = 1\n[x]\n");
        assert_eq!(list.entries.len(), 1);
    }

    #[test]
    fn the_main_list_and_every_drop_in_are_read() {
        let root = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(Exclusions::load(root.path()), Exclusions::default());
        let etc = root.path().join("etc/nvme");
        fs::create_dir_all(etc.join("exclusions.conf.d")).expect("a directory");
        let entry = "[exclusions]\nexclusion = transport=fc\n";
        fs::write(etc.join("exclusions.conf"), entry).expect("a file");
        fs::write(etc.join("exclusions.conf.d/a.conf"), entry).expect("a file");
        fs::write(etc.join("exclusions.conf.d/a.conf.bak"), entry).expect("a file");
        let list = Exclusions::load(root.path());
        assert_eq!(list.entries.len(), 2);
    }

    #[test]
    fn a_list_that_cannot_be_read_excludes_nothing_and_is_named() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let etc = root.path().join("etc/nvme");
        fs::create_dir_all(etc.join("exclusions.conf")).expect("a directory");
        fs::create_dir_all(etc.join("exclusions.conf.d")).expect("a directory");
        let entry = "[exclusions]\nexclusion = transport=fc\n";
        fs::write(etc.join("exclusions.conf.d/a.conf"), entry).expect("a file");
        let list = Exclusions::load(root.path());
        assert_eq!(list.entries.len(), 1);
        let told = list.ignored()[0].to_string();
        assert!(told.contains("etc/nvme/exclusions.conf: "), "{told}");
    }

    #[test]
    fn a_comment_in_another_encoding_harms_no_entry() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let etc = root.path().join("etc/nvme");
        fs::create_dir_all(&etc).expect("a directory");
        let text = b"# Zur\xfcck\n[exclusions]\nexclusion = transport=fc\n";
        fs::write(etc.join("exclusions.conf"), text).expect("a file");
        let list = Exclusions::load(root.path());
        assert_eq!((list.entries.len(), list.ignored().len()), (1, 0));
    }
}
