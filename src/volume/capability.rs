//! How a volume is used: as a filesystem or as a raw block device, and by whom.

use serde::{Deserialize, Serialize};

use crate::host::mount_flag::are_read_only;
use crate::host::{FilesystemType, MountAccess, MountFlag};

/// Access type and access mode together, `VolumeCapability` of the CSI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capability {
    /// As what.
    pub access: AccessType,
    /// By whom.
    pub mode: AccessMode,
}

/// As what a volume is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AccessType {
    /// Through a filesystem.
    Filesystem {
        /// Its type.
        fs: FilesystemType,
        /// What the user wants it to be mounted with.
        flags: Vec<MountFlag>,
    },
    /// As a raw block device.
    Block,
}

/// By how many nodes and how a volume may be used, `AccessMode.Mode` of the CSI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessMode {
    /// One node reads and writes.
    SingleNodeWriter,
    /// One node reads.
    SingleNodeReaderOnly,
    /// One pod of one node reads and writes.
    SingleNodeSingleWriter,
    /// Several pods of one node read and write.
    SingleNodeMultiWriter,
    /// Several nodes read.
    MultiNodeReaderOnly,
    /// Several nodes read, one writes.
    MultiNodeSingleWriter,
    /// Several nodes read and write.
    MultiNodeMultiWriter,
}

impl AccessMode {
    /// Whether several nodes may have the volume at once.
    #[must_use]
    pub fn is_multi_node(self) -> bool {
        matches!(
            self,
            AccessMode::MultiNodeReaderOnly
                | AccessMode::MultiNodeSingleWriter
                | AccessMode::MultiNodeMultiWriter
        )
    }

    /// Its name in the CSI.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            AccessMode::SingleNodeWriter => "SINGLE_NODE_WRITER",
            AccessMode::SingleNodeReaderOnly => "SINGLE_NODE_READER_ONLY",
            AccessMode::SingleNodeSingleWriter => "SINGLE_NODE_SINGLE_WRITER",
            AccessMode::SingleNodeMultiWriter => "SINGLE_NODE_MULTI_WRITER",
            AccessMode::MultiNodeReaderOnly => "MULTI_NODE_READER_ONLY",
            AccessMode::MultiNodeSingleWriter => "MULTI_NODE_SINGLE_WRITER",
            AccessMode::MultiNodeMultiWriter => "MULTI_NODE_MULTI_WRITER",
        }
    }

    /// Whether nobody may write.
    #[must_use]
    pub fn is_reader_only(self) -> bool {
        matches!(
            self,
            AccessMode::SingleNodeReaderOnly | AccessMode::MultiNodeReaderOnly
        )
    }
}

impl Capability {
    /// Who may write to the filesystem, by the mode and by what the user wants it to be mounted with: neither gives what
    /// the other refuses.
    #[must_use]
    pub fn mount_access(&self) -> MountAccess {
        let wants_readers = match &self.access {
            AccessType::Filesystem { flags, .. } => are_read_only(flags),
            AccessType::Block => false,
        };
        match self.mode {
            AccessMode::MultiNodeReaderOnly => MountAccess::ReadOnlyShared,
            AccessMode::SingleNodeReaderOnly => MountAccess::ReadOnly,
            AccessMode::SingleNodeWriter
            | AccessMode::SingleNodeSingleWriter
            | AccessMode::SingleNodeMultiWriter
            | AccessMode::MultiNodeSingleWriter
            | AccessMode::MultiNodeMultiWriter => match wants_readers {
                true => MountAccess::ReadOnly,
                false => MountAccess::ReadWrite,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_the_mode_nor_the_mount_options_give_what_the_other_refuses() {
        use AccessMode::{MultiNodeReaderOnly, SingleNodeReaderOnly, SingleNodeWriter};
        use MountAccess::{ReadOnly, ReadOnlyShared, ReadWrite};
        let rows: [(AccessMode, &[&str], MountAccess); 9] = [
            (SingleNodeWriter, &[], ReadWrite),
            (SingleNodeWriter, &["rw", "noatime"], ReadWrite),
            (SingleNodeWriter, &["ro"], ReadOnly),
            (SingleNodeWriter, &["rw", "ro"], ReadOnly),
            (SingleNodeWriter, &["ro", "rw"], ReadWrite),
            (SingleNodeReaderOnly, &["rw"], ReadOnly),
            (SingleNodeReaderOnly, &["ro"], ReadOnly),
            (MultiNodeReaderOnly, &["rw"], ReadOnlyShared),
            (MultiNodeReaderOnly, &["ro"], ReadOnlyShared),
        ];
        for (mode, words, wanted) in rows {
            let flags = words.iter().map(|word| word.parse().expect("a flag"));
            let access = AccessType::Filesystem {
                fs: FilesystemType::Ext4,
                flags: flags.collect(),
            };
            let capability = Capability { access, mode };
            assert_eq!(capability.mount_access(), wanted, "{mode:?} {words:?}");
        }
    }
}
