//! Requests and captured trees for the tests of this room.

use std::path::PathBuf;

use nvme_fabrics::HostIdentity;
use nvme_sysfs::{Namespace, NamespaceSelector, Sysfs, Transport};
use tempfile::TempDir;

use super::source::{PathLossHold, Portal, Source};
use super::source_tuning::SourceTuning;

/// The subsystem of the captured trees.
pub(super) const NQN: &str = "nqn.2026-01.org.example:volume-1";

/// A captured tree, to be changed at will.
pub(super) fn unpack(name: &str) -> TempDir {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/sysfs")
        .join(format!("{name}.tree"));
    kernel_lab::tree::unpack(&file).expect("a captured tree")
}

/// The first disk of a captured tree.
pub(super) fn namespace(capture: &str) -> Namespace {
    let root = unpack(capture);
    let tree = Sysfs::at(root.path()).scan().expect("a tree");
    tree.namespaces().next().expect("a namespace").clone()
}

pub(super) fn host_identity() -> HostIdentity {
    let hostid = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
    HostIdentity {
        hostnqn: format!("nqn.2014-08.org.nvmexpress:uuid:{hostid}")
            .parse()
            .expect("a name"),
        hostid: hostid.parse().expect("a uuid"),
    }
}

pub(super) fn portal(traddr: &str, trsvcid: u16) -> Portal {
    Portal {
        traddr: traddr.parse().expect("an address"),
        trsvcid,
    }
}

/// The source of the captured trees with one path.
pub(super) fn source() -> Source {
    Source {
        nqn: NQN.parse().expect("a name"),
        transport: Transport::Tcp,
        addresses: vec![portal("10.0.0.2", 4420)],
        which: NamespaceSelector::Only,
        tuning: SourceTuning::default(),
        hold: PathLossHold::Auto,
        path_loss_timeout: None,
    }
}
