//! What makes a namespace the volume that was staged, and the disk as which it appeared.
//!
//! Invariant: a namespace is taken for the volume only if everything that was recorded about it is
//! the same; a size may only grow.

use std::fmt;

use nvme_sysfs::{DevT, Diskseq, Eui64, Namespace, NamespaceIdentity, Nguid, Nsid, Uuid};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::text;
use crate::host::dm::Map;

/// A namespace as it was when its volume was staged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeIdentity {
    /// Number within the subsystem.
    #[serde(with = "text::option")]
    pub nsid: Option<Nsid>,
    /// UUID.
    #[serde(with = "text::option")]
    pub uuid: Option<Uuid>,
    /// NGUID.
    #[serde(with = "text::option")]
    pub nguid: Option<Nguid>,
    /// EUI-64.
    #[serde(with = "text::option")]
    pub eui64: Option<Eui64>,
    /// Bytes of a logical block.
    pub logical_block_size: Option<u32>,
    /// Bytes of metadata per logical block.
    pub metadata_bytes: Option<u32>,
    /// Whether it refuses writes.
    pub read_only: Option<bool>,
    /// Size in bytes.
    pub size_bytes: u64,
}

/// A disk of this boot: of a namespace, or of the map over it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// Kernel name, `nvme0n1`.
    pub name: String,
    /// Device number.
    #[serde(with = "text")]
    pub dev: DevT,
    /// Sequence number, by which a device number that was given to another disk is recognised.
    pub diskseq: Option<u64>,
}

/// In what a namespace is not the volume.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{disk} is another volume: its {what} is {found}, expected {expected}")]
pub struct IdentityMismatch {
    /// The disk that was looked at.
    pub disk: String,
    /// Which part of the identity differs.
    pub what: &'static str,
    /// What it has.
    pub found: String,
    /// What was recorded.
    pub expected: String,
}

impl VolumeIdentity {
    /// The identity of a namespace as it is now.
    #[must_use]
    pub fn of(namespace: &Namespace) -> VolumeIdentity {
        let NamespaceIdentity {
            nsid,
            uuid,
            nguid,
            eui64,
        } = namespace.identity;
        VolumeIdentity {
            nsid,
            uuid,
            nguid,
            eui64,
            logical_block_size: namespace.logical_block_size,
            metadata_bytes: namespace.metadata_bytes,
            read_only: namespace.read_only,
            size_bytes: namespace.size_bytes,
        }
    }

    /// Whether the target gives the namespace an identifier that no other has.
    #[must_use]
    pub fn is_unique(&self) -> bool {
        self.identifiers().is_unique()
    }

    /// Whether the identifiers, and nothing else, are those of the namespace. One of which something is unknown is not
    /// named.
    #[must_use]
    pub fn names(&self, namespace: &Namespace) -> bool {
        self.identifiers().is_of_same(&namespace.identity) && namespace.doubt().is_none()
    }

    /// Proves that a namespace is this volume.
    ///
    /// # Errors
    /// [`IdentityMismatch`] with the first difference.
    pub fn check(&self, namespace: &Namespace) -> Result<(), IdentityMismatch> {
        let found = VolumeIdentity::of(namespace);
        let (ours, theirs) = (self.identifiers(), namespace.identity);
        let grown = found.size_bytes >= self.size_bytes;
        let writable = self.read_only == Some(true) || found.read_only != Some(true);
        let differences = [
            unknown(namespace),
            difference("identity", ours.is_of_same(&theirs), &theirs, &ours),
            blocks(
                "logical block size",
                found.logical_block_size,
                self.logical_block_size,
            ),
            blocks("metadata size", found.metadata_bytes, self.metadata_bytes),
            difference("size", grown, &found.size_bytes, &self.size_bytes),
            difference("access", writable, &"read-only", &"writable"),
        ];
        match differences.into_iter().flatten().next() {
            None => Ok(()),
            Some((what, found, expected)) => Err(IdentityMismatch {
                disk: namespace.name.clone(),
                what,
                found,
                expected,
            }),
        }
    }

    /// Whether a namespace differs from this volume in nothing but its size, which is smaller. One without a size is on
    /// its way in or out.
    #[must_use]
    pub fn has_shrunk(&self, namespace: &Namespace) -> bool {
        let smaller = VolumeIdentity {
            size_bytes: namespace.size_bytes,
            ..self.clone()
        };
        let size = 1..self.size_bytes;
        size.contains(&namespace.size_bytes) && smaller.check(namespace).is_ok()
    }

    fn identifiers(&self) -> NamespaceIdentity {
        NamespaceIdentity {
            nsid: self.nsid,
            uuid: self.uuid,
            nguid: self.nguid,
            eui64: self.eui64,
        }
    }
}

type Difference = (&'static str, String, String);

fn difference(
    what: &'static str,
    same: bool,
    found: &dyn fmt::Display,
    expected: &dyn fmt::Display,
) -> Option<Difference> {
    (!same).then(|| (what, found.to_string(), expected.to_string()))
}

fn unknown(namespace: &Namespace) -> Option<Difference> {
    let doubt = namespace.doubt()?;
    let what = "description";
    Some((what, doubt.to_string(), "one that can be read".to_owned()))
}

/// Attributes that the kernel of another boot may not have had are compared only where both have.
fn blocks(what: &'static str, found: Option<u32>, expected: Option<u32>) -> Option<Difference> {
    let (found, expected) = (found?, expected?);
    difference(what, found == expected, &found, &expected)
}

impl Disk {
    /// The disk of a namespace; `None` while the kernel has not given it a number.
    #[must_use]
    pub fn of(namespace: &Namespace) -> Option<Disk> {
        Some(Disk {
            name: namespace.name.clone(),
            dev: namespace.dev?,
            diskseq: namespace.diskseq.map(|diskseq| diskseq.0),
        })
    }

    /// The disk of a map.
    #[must_use]
    pub fn of_map(map: &Map) -> Disk {
        Disk {
            name: map.disk.clone(),
            dev: map.dev,
            diskseq: map.diskseq.map(|diskseq| diskseq.0),
        }
    }

    /// The sequence number.
    #[must_use]
    pub fn diskseq(&self) -> Option<Diskseq> {
        self.diskseq.map(Diskseq)
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.dev)
    }
}

#[cfg(test)]
mod tests {
    use nvme_sysfs::Sysfs;

    use super::*;
    use crate::volume::fixture;

    fn namespace() -> Namespace {
        let root = fixture::unpack("trixie-one-path");
        let tree = Sysfs::at(root.path()).scan().expect("a tree");
        tree.namespaces().next().expect("a namespace").clone()
    }

    #[test]
    fn a_namespace_is_itself_also_after_it_has_grown() {
        let mut namespace = namespace();
        let identity = VolumeIdentity::of(&namespace);
        assert_eq!(identity.check(&namespace), Ok(()));
        namespace.size_bytes *= 2;
        assert_eq!(identity.check(&namespace), Ok(()));
        assert!(identity.names(&namespace));
    }

    type Change = fn(&mut Namespace);

    #[test]
    fn each_part_of_an_identity_counts() {
        let namespace = namespace();
        let identity = VolumeIdentity::of(&namespace);
        let changes: [(&str, Change); 6] = [
            ("identity", |n| n.identity.uuid = None),
            ("identity", |n| n.identity.nsid = "9".parse().ok()),
            ("logical block size", |n| n.logical_block_size = Some(512)),
            ("metadata size", |n| n.metadata_bytes = Some(8)),
            ("size", |n| n.size_bytes -= 1),
            ("access", |n| n.read_only = Some(true)),
        ];
        for (what, change) in changes {
            let mut other = namespace.clone();
            change(&mut other);
            let mismatch = identity.check(&other).expect_err(what);
            assert_eq!((mismatch.what, mismatch.disk.as_str()), (what, "nvme0n1"));
        }
    }

    #[test]
    fn a_uuid_that_a_record_of_before_took_for_the_nguid_is_no_difference() {
        let mut namespace = namespace();
        let uuid = namespace.identity.uuid.expect("a captured uuid");
        namespace.identity.nguid = uuid.to_string().parse().ok();
        let before = VolumeIdentity {
            uuid: None,
            ..VolumeIdentity::of(&namespace)
        };
        assert!(before.names(&namespace));
        assert_eq!(before.check(&namespace), Ok(()));
        namespace.identity.nguid = "3".repeat(32).parse().ok();
        assert!(!before.names(&namespace));
        assert!(before.check(&namespace).is_err());
    }

    #[test]
    fn a_namespace_of_which_something_is_unknown_is_not_taken_for_the_volume() {
        let root = fixture::unpack("trixie-one-path");
        let scan = || Sysfs::at(root.path()).scan().expect("a tree");
        let identity = VolumeIdentity::of(scan().namespaces().next().expect("a namespace"));
        let disk = root.path().join("sys/block/nvme0n1");
        std::fs::write(disk.join("ro"), "maybe\n").expect("a file");
        let tree = scan();
        let namespace = tree.namespaces().next().expect("it stays in its place");
        assert!(!identity.names(namespace));
        let mismatch = identity.check(namespace).expect_err("unknown").to_string();
        assert!(mismatch.contains("ro is \"maybe\""), "{mismatch}");
    }

    #[test]
    fn only_a_smaller_size_counts_as_shrunk() {
        let mut namespace = namespace();
        let identity = VolumeIdentity::of(&namespace);
        assert!(!identity.has_shrunk(&namespace));
        namespace.size_bytes /= 2;
        assert!(identity.has_shrunk(&namespace));
        let other = Namespace {
            logical_block_size: Some(512),
            ..namespace.clone()
        };
        assert!(!identity.has_shrunk(&other));
        namespace.size_bytes = 0;
        assert!(!identity.has_shrunk(&namespace));
    }

    #[test]
    fn an_attribute_that_one_kernel_lacks_is_no_difference() {
        let mut namespace = namespace();
        let identity = VolumeIdentity::of(&namespace);
        namespace.metadata_bytes = None;
        assert_eq!(identity.check(&namespace), Ok(()));
    }
}
