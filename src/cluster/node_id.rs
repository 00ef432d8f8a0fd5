//! How the controller knows this node: `NAME/HOSTNQN`.
//!
//! The controller admits exactly that host to a volume. It splits at the first slash, so the name
//! of the node has none.

use std::fmt;

use nvme_sysfs::{Nqn, ParseNqnError};
use serde::Deserialize;
use thiserror::Error;

/// The limit of the interface for `node_id`, in bytes.
const MAX_LEN: usize = 256;

/// Name of a node in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct NodeName(String);

/// Why a text is no name of a node.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("node name {text:?} must be printable ASCII without a slash, and not empty")]
pub struct ParseNodeNameError {
    text: String,
}

/// The node's id is longer than the interface allows.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "node id {id:?} has {} bytes, at most {MAX_LEN} are allowed: give this host a shorter NQN in \
     /etc/nvme/hostnqn",
    id.len()
)]
pub struct LongNodeId {
    id: String,
}

impl std::str::FromStr for NodeName {
    type Err = ParseNodeNameError;

    fn from_str(text: &str) -> Result<NodeName, ParseNodeNameError> {
        NodeName::try_from(text.to_owned())
    }
}

impl TryFrom<String> for NodeName {
    type Error = ParseNodeNameError;

    fn try_from(text: String) -> Result<NodeName, ParseNodeNameError> {
        let allowed = |b: u8| b.is_ascii_graphic() && b != b'/';
        if text.is_empty() || !text.bytes().all(allowed) {
            return Err(ParseNodeNameError { text });
        }
        Ok(NodeName(text))
    }
}

impl NodeName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A node as it named itself in NodeGetInfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeId {
    /// Its name in the cluster.
    pub name: NodeName,
    /// What it calls itself to targets.
    pub hostnqn: Nqn,
}

/// Why a text is no ID of a node of this driver.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseNodeIdError {
    /// It has one part only.
    #[error("must be NAME/HOSTNQN")]
    NoSlash,
    /// The first part is no name.
    #[error(transparent)]
    Name(#[from] ParseNodeNameError),
    /// The second part is no NQN.
    #[error("has no host NQN after its slash: {0}")]
    HostNqn(#[from] ParseNqnError),
}

impl std::str::FromStr for NodeId {
    type Err = ParseNodeIdError;

    fn from_str(text: &str) -> Result<NodeId, ParseNodeIdError> {
        let (name, hostnqn) = text.split_once('/').ok_or(ParseNodeIdError::NoSlash)?;
        Ok(NodeId {
            name: name.parse()?,
            hostnqn: hostnqn.parse()?,
        })
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.hostnqn)
    }
}

/// `node_id` of NodeGetInfo.
pub(crate) fn node_id(name: &NodeName, hostnqn: &Nqn) -> Result<String, LongNodeId> {
    let id = format!("{}/{hostnqn}", name.0);
    match id.len() {
        0..=MAX_LEN => Ok(id),
        _ => Err(LongNodeId { id }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(len: usize) -> NodeName {
        "n".repeat(len).parse().expect("a name")
    }

    #[test]
    fn the_first_slash_divides_name_and_nqn() {
        let hostnqn: Nqn = "nqn.2024-01.com.example:host".parse().expect("an NQN");
        let id = node_id(&"worker-1".parse().expect("a name"), &hostnqn).expect("short");
        let read: NodeId = id.parse().expect("an id");
        assert_eq!(read.to_string(), id);
        assert_eq!((read.name.as_str(), read.hostnqn), ("worker-1", hostnqn));
        for text in ["worker-1", "/nqn.2024-01.com.example:host", "worker-1/"] {
            assert!(text.parse::<NodeId>().is_err(), "{text:?}");
        }
        for text in ["", "a/b", "a b", "é", "a\n"] {
            assert!(text.parse::<NodeName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_id_of_256_bytes_is_the_longest() {
        let hostnqn: Nqn = "nqn.2024-01.com.example:host".parse().expect("an NQN");
        let room = 256 - 1 - hostnqn.as_str().len();
        assert_eq!(node_id(&name(room), &hostnqn).expect("fits").len(), 256);
        let error = node_id(&name(room + 1), &hostnqn).expect_err("too long");
        assert!(error.to_string().contains("has 257 bytes"), "{error}");
    }
}
