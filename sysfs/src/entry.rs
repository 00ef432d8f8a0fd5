//! Names of the entries that the NVMe driver makes in sysfs.
//!
//! Invariant: `Entry::parse(&entry.to_string())` gives the entry back, and no other text gives it.

use std::fmt;

use crate::device::{Instance, decimal};

/// What a name in sysfs stands for. Ordered by number, not by text: `nvme2` comes before `nvme10`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Entry {
    /// `nvme-subsys0`
    Subsystem(u32),
    /// `nvme0`
    Controller(Instance),
    /// `nvme0n1`
    Namespace {
        /// Number of the subsystem, or of the controller with `nvme_core.multipath=N`.
        owner: u32,
        /// Running number.
        number: u32,
    },
    /// `nvme0c1n1`
    Path {
        /// Number of the subsystem.
        owner: u32,
        /// Number of the controller.
        controller: u32,
        /// Running number of the head.
        number: u32,
    },
}

impl Entry {
    /// The entry of this name, if the name is one of the driver's.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let rest = name.strip_prefix("nvme")?;
        if let Some(number) = rest.strip_prefix("-subsys") {
            return decimal(number).map(Self::Subsystem);
        }
        let Some((owner, number)) = rest.split_once('n') else {
            return decimal(rest).map(|number| Self::Controller(Instance(number)));
        };
        let number = decimal(number)?;
        match owner.split_once('c') {
            Some((owner, controller)) => Some(Self::Path {
                owner: decimal(owner)?,
                controller: decimal(controller)?,
                number,
            }),
            None => Some(Self::Namespace {
                owner: decimal(owner)?,
                number,
            }),
        }
    }

    /// The head that a path leads to by its name; the kernel gives both the same numbers.
    pub(crate) fn head(self) -> Option<Self> {
        match self {
            Self::Path { owner, number, .. } => Some(Self::Namespace { owner, number }),
            _ => None,
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subsystem(number) => write!(f, "nvme-subsys{number}"),
            Self::Controller(instance) => instance.fmt(f),
            Self::Namespace { owner, number } => write!(f, "nvme{owner}n{number}"),
            Self::Path {
                owner,
                controller,
                number,
            } => write!(f, "nvme{owner}c{controller}n{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_driver_is_read_and_written_alike() {
        for name in [
            "nvme-subsys0",
            "nvme0",
            "nvme12",
            "nvme0n1",
            "nvme10n32",
            "nvme0c1n1",
            "nvme7c4294967295n2",
        ] {
            assert_eq!(Entry::parse(name).expect(name).to_string(), name);
        }
    }

    #[test]
    fn names_of_others_are_nothing() {
        for name in [
            "",
            ".",
            "..",
            "nvme",
            "nvme-subsys",
            "ng0n1",
            "nvme-fabrics",
            "nvme0n1p1",
            "nvme0n",
            "nvmen1",
            "nvme0c1",
            "nvme0cn1",
            "nvme01",
            "nvme0n01",
            "nvme0 ",
            "power",
            "nvme4294967296",
            "nvme0c1n1p2",
            "nvme0n1c1",
        ] {
            assert_eq!(Entry::parse(name), None, "{name}");
        }
    }

    #[test]
    fn order_is_by_number_and_a_path_names_its_head() {
        let mut names: Vec<_> = ["nvme10", "nvme9", "nvme2"]
            .into_iter()
            .filter_map(Entry::parse)
            .collect();
        names.sort();
        assert_eq!(
            names.iter().map(Entry::to_string).collect::<Vec<_>>(),
            ["nvme2", "nvme9", "nvme10"]
        );
        let path = Entry::parse("nvme3c7n2").expect("a path");
        assert_eq!(path.head(), Entry::parse("nvme3n2"));
        assert_eq!(names[0].head(), None);
    }
}
