//! The form for programs: the shape, the order and the layout of `nvme list-subsys -o json`
//! (nvme-cli 2.13, seen by running it).
//!
//! Hosts and subsystems come in the order of their first controller, names compared as text, and
//! controllers without a host (PCIe) under the first host, or under this host's own identity if
//! such a controller comes first. Subsystems without controllers are left out; nvme-cli adds them
//! to the first host.

use nvme_fabrics::HostIdentity;
use nvme_sysfs::{ListedHost, ListedPath, ListedSubsystem};
use serde::Serialize;

use super::volumes::HostVolume;
use crate::volume::Surveyed;

/// One element of nvme-cli's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Host {
    #[serde(rename = "HostNQN", skip_serializing_if = "Option::is_none")]
    hostnqn: Option<String>,
    #[serde(rename = "HostID", skip_serializing_if = "Option::is_none")]
    hostid: Option<String>,
    #[serde(rename = "Subsystems")]
    subsystems: Vec<HostSubsystem>,
    /// Not in nvme-cli's form.
    #[serde(rename = "Volumes", skip_serializing_if = "Vec::is_empty")]
    pub(super) volumes: Vec<HostVolume>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct HostSubsystem {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "NQN")]
    nqn: String,
    #[serde(rename = "Paths")]
    paths: Vec<HostPath>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "PascalCase")]
struct HostPath {
    name: String,
    transport: String,
    address: String,
    state: String,
}

/// Puts the listing into nvme-cli's order. `own` is the identity that controllers without a host
/// get if they come first.
pub(super) fn arrange(
    listed: Vec<ListedHost>,
    own: impl FnOnce() -> Option<HostIdentity>,
) -> Vec<Host> {
    let mut hosts: Vec<Host> = listed.into_iter().map(Host::from).collect();
    hosts.sort_by(|a, b| a.first_path().cmp(&b.first_path()));
    if let Some(first) = hosts.first_mut()
        && first.hostnqn.is_none()
        && let Some(own) = own()
    {
        first.hostnqn = Some(own.hostnqn.to_string());
        first.hostid = Some(own.hostid.to_string());
    }
    let mut arranged: Vec<Host> = Vec::with_capacity(hosts.len());
    for host in hosts {
        let same = arranged.iter().position(|known| known.is_same(&host));
        let unnamed = (host.hostnqn.is_none() && !arranged.is_empty()).then_some(0);
        match same.or(unnamed) {
            Some(index) => arranged[index].adopt(host.subsystems),
            None => arranged.push(host),
        }
    }
    arranged
}

impl Host {
    /// A host without controllers.
    pub(super) fn empty(identity: Option<HostIdentity>) -> Host {
        Host {
            hostnqn: identity.as_ref().map(|own| own.hostnqn.to_string()),
            hostid: identity.as_ref().map(|own| own.hostid.to_string()),
            subsystems: Vec::new(),
            volumes: Vec::new(),
        }
    }

    fn first_path(&self) -> Option<&HostPath> {
        self.subsystems.first()?.paths.first()
    }

    fn is_same(&self, other: &Host) -> bool {
        self.hostnqn == other.hostnqn && self.hostid == other.hostid
    }

    fn adopt(&mut self, subsystems: Vec<HostSubsystem>) {
        self.subsystems.extend(subsystems);
        self.sort();
    }

    fn sort(&mut self) {
        self.subsystems
            .sort_by(|a, b| a.paths.first().cmp(&b.paths.first()));
    }
}

impl From<ListedHost> for Host {
    fn from(host: ListedHost) -> Host {
        let subsystems = host.subsystems.into_iter().map(HostSubsystem::from);
        let mut host = Host {
            hostnqn: host.hostnqn,
            hostid: host.hostid,
            subsystems: subsystems.collect(),
            volumes: Vec::new(),
        };
        host.sort();
        host
    }
}

impl From<ListedSubsystem> for HostSubsystem {
    fn from(subsystem: ListedSubsystem) -> HostSubsystem {
        let mut paths: Vec<_> = subsystem.paths.into_iter().map(HostPath::from).collect();
        paths.sort_unstable();
        HostSubsystem {
            name: subsystem.name,
            nqn: subsystem.nqn,
            paths,
        }
    }
}

impl From<ListedPath> for HostPath {
    fn from(path: ListedPath) -> HostPath {
        HostPath {
            name: path.name,
            transport: path.transport,
            address: path.address,
            state: path.state,
        }
    }
}

/// The volumes stand with the first host, or with this one if no host has a controller now: during an
/// outage there may be none.
pub(super) fn add_volumes(
    mut hosts: Vec<Host>,
    volumes: Vec<Surveyed>,
    own: impl FnOnce() -> Option<HostIdentity>,
) -> Vec<Host> {
    if volumes.is_empty() {
        return hosts;
    }
    if hosts.is_empty() {
        hosts.push(Host::empty(own()));
    }
    if let Some(host) = hosts.first_mut() {
        host.volumes = volumes.into_iter().map(HostVolume::from).collect();
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::write_json;

    const UUID: &str = "11111111-2222-3333-4444-555555555555";

    fn path(name: &str) -> ListedPath {
        ListedPath {
            name: name.to_owned(),
            transport: "tcp".to_owned(),
            address: "traddr=10.0.0.1,trsvcid=4420".to_owned(),
            state: "live".to_owned(),
        }
    }

    fn host(hostnqn: Option<&str>, subsystems: &[(&str, &[&str])]) -> ListedHost {
        let subsystems = subsystems.iter().map(|(name, paths)| ListedSubsystem {
            name: (*name).to_owned(),
            nqn: format!("nqn.2024-01.io.example:{name}"),
            paths: paths.iter().copied().map(path).collect(),
        });
        ListedHost {
            hostnqn: hostnqn.map(str::to_owned),
            hostid: hostnqn.map(|_| "id".to_owned()),
            subsystems: subsystems.collect(),
        }
    }

    fn names(hosts: &[Host]) -> Vec<(Option<&str>, Vec<&str>)> {
        hosts
            .iter()
            .map(|host| {
                let names = host
                    .subsystems
                    .iter()
                    .map(|subsystem| subsystem.name.as_str());
                (host.hostnqn.as_deref(), names.collect())
            })
            .collect()
    }

    #[test]
    fn controllers_and_subsystems_are_ordered_as_text() {
        let hosts = arrange(
            vec![host(
                Some("a"),
                &[
                    ("nvme-subsys3", &["nvme3"]),
                    ("nvme-subsys1", &["nvme11", "nvme10", "nvme2"]),
                ],
            )],
            || None,
        );
        assert_eq!(
            names(&hosts),
            [(Some("a"), vec!["nvme-subsys1", "nvme-subsys3"])]
        );
        let paths: Vec<_> = hosts[0].subsystems[0]
            .paths
            .iter()
            .map(|path| path.name.as_str())
            .collect();
        assert_eq!(paths, ["nvme10", "nvme11", "nvme2"]);
    }

    #[test]
    fn controllers_without_a_host_are_listed_under_the_first_host() {
        let listed = vec![
            host(Some("b"), &[("nvme-subsys4", &["nvme4"])]),
            host(Some("a"), &[("nvme-subsys2", &["nvme2"])]),
            host(None, &[("nvme-subsys3", &["nvme3"])]),
        ];
        assert_eq!(
            names(&arrange(listed, || None)),
            [
                (Some("a"), vec!["nvme-subsys2", "nvme-subsys3"]),
                (Some("b"), vec!["nvme-subsys4"]),
            ]
        );
    }

    #[test]
    fn if_they_come_first_they_are_listed_under_this_hosts_own_identity() {
        let own = HostIdentity::from_uuid(UUID.parse().expect("a UUID"));
        let hostnqn = own.hostnqn.to_string();
        let mut same = host(Some(&hostnqn), &[("nvme-subsys4", &["nvme4"])]);
        same.hostid = Some(UUID.to_owned());
        let listed = vec![
            host(None, &[("nvme-subsys0", &["nvme0"])]),
            host(Some("b"), &[("nvme-subsys2", &["nvme2"])]),
            same,
        ];
        assert_eq!(
            names(&arrange(listed, || Some(own))),
            [
                (Some(hostnqn.as_str()), vec!["nvme-subsys0", "nvme-subsys4"]),
                (Some("b"), vec!["nvme-subsys2"]),
            ]
        );
    }

    #[test]
    fn without_any_identity_the_fields_are_left_out() {
        let listed = vec![host(None, &[("nvme-subsys0", &["nvme0"])])];
        let hosts = arrange(listed, || None);
        let mut out = Vec::new();
        write_json(&hosts, &mut out).expect("a Vec takes everything");
        let text = String::from_utf8(out).expect("JSON is UTF-8");
        assert!(text.starts_with("[\n  {\n    \"Subsystems\":["), "{text}");
    }
}
