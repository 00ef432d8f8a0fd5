//! Who connected a controller, by the name that stands in the ownership registry.

use std::fmt;

/// What every name of this program begins with.
const PROGRAM: &str = "nvmeof-csi";

/// Who connected a controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// A person, by the command line of this program: `nvmeof-csi-cli`.
    Administrator,
    /// The CSI driver of this name: `nvmeof-csi/NAME`.
    Driver(String),
    /// A version of this program that told no two apart: `nvmeof-csi`. It is only read.
    Program,
    /// Another program, by its own name.
    Other(String),
}

/// A user of this crate that gives no name: `nvme-fabrics`.
impl Default for Owner {
    fn default() -> Owner {
        Owner::Other("nvme-fabrics".to_owned())
    }
}

impl Owner {
    /// Whether this program connected it, for whomever.
    #[must_use]
    pub fn is_this_program(&self) -> bool {
        !matches!(self, Owner::Other(_))
    }
}

/// As it stands in the registry.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Administrator => write!(f, "{PROGRAM}-cli"),
            Owner::Driver(name) => write!(f, "{PROGRAM}/{name}"),
            Owner::Program => f.write_str(PROGRAM),
            Owner::Other(name) => f.write_str(name),
        }
    }
}

impl From<&str> for Owner {
    fn from(text: &str) -> Owner {
        let rest = text.strip_prefix(PROGRAM);
        let driver = rest.and_then(|rest| rest.strip_prefix('/'));
        match (rest, driver) {
            (_, Some(name)) => Owner::Driver(name.to_owned()),
            (Some(""), None) => Owner::Program,
            (Some("-cli"), None) => Owner::Administrator,
            _ => Owner::Other(text.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_known_by_the_text_that_it_writes() {
        for (text, owner) in [
            ("nvmeof-csi-cli", Owner::Administrator),
            (
                "nvmeof-csi/csi.example",
                Owner::Driver("csi.example".to_owned()),
            ),
            ("nvmeof-csi", Owner::Program),
            (
                "nvmeof-csi-fork",
                Owner::Other("nvmeof-csi-fork".to_owned()),
            ),
            ("stas", Owner::Other("stas".to_owned())),
        ] {
            assert_eq!(Owner::from(text), owner);
            assert_eq!(owner.to_string(), text);
            assert_eq!(owner.is_this_program(), !matches!(owner, Owner::Other(_)));
        }
    }
}
