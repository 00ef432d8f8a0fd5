//! Which records of a discovery log this host can connect at all.

use std::path::Path;

use nvme_sysfs::Transport;

use super::entry::DiscoveryEntry;
use crate::fabrics::Fabrics;
use crate::options::ConnectOptions;

impl Fabrics {
    /// Why this host cannot connect what an entry names, that was found by the connect `asked`; `None` if it may. A target
    /// lists all its ports, whatever the host has.
    #[must_use]
    pub fn unusable(&self, entry: &DiscoveryEntry, asked: &ConnectOptions) -> Option<&'static str> {
        // What the log was read through works, and leaves its own source address to the entry.
        if entry.transport == *asked.transport() {
            return None;
        }
        match &entry.transport {
            Transport::Tcp => None,
            Transport::Rdma if has_entries(&self.root().join("sys/class/infiniband")) => None,
            Transport::Rdma => Some("this host has no RDMA device"),
            Transport::Fc => Some("Fibre Channel is connected from a port of this host: ask there"),
            Transport::Loop => Some("it is reached only within its own host"),
            _ => Some("this program does not know its transport"),
        }
    }
}

/// What cannot be listed may have some: the connect says what is wrong then.
fn has_entries(directory: &Path) -> bool {
    match directory.read_dir() {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::tests::entry;
    use super::*;
    use crate::fixture;

    fn unusable(root: &Path, trtype: u8) -> Option<&'static str> {
        let mut bytes = entry(2, fixture::VOLUME, "192.0.2.9");
        bytes[0] = trtype;
        let entry = DiscoveryEntry::decode(0, &bytes).expect("an entry");
        let mut asked = fixture::options(Transport::Tcp);
        let asked = asked.traddr("192.0.2.1").build().expect("valid options");
        Fabrics::at(root).unusable(&entry, &asked)
    }

    #[test]
    fn only_what_this_host_has_the_means_for_can_be_used() {
        let root = tempfile::tempdir().expect("a directory");
        assert_eq!(unusable(root.path(), 3), None);
        for (trtype, word) in [(1, "RDMA"), (2, "Fibre"), (254, "own host"), (77, "know")] {
            let why = unusable(root.path(), trtype).expect("not usable");
            assert!(why.contains(word), "{why}");
        }
        let devices = root.path().join("sys/class/infiniband");
        std::fs::create_dir_all(&devices).expect("made");
        assert!(unusable(root.path(), 1).is_some(), "an empty class");
        std::fs::create_dir(devices.join("mlx5_0")).expect("made");
        assert_eq!(unusable(root.path(), 1), None);
    }
}
