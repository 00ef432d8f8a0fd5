//! What a case is, and on which machine it wants to run.

/// The machine that a case runs on. Cases of one profile share one boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Profile {
    /// Native multipath on, a PCIe controller beside the fabrics ones.
    Default,
    /// `nvme_core.multipath=N`.
    MultipathOff,
}

impl Profile {
    /// The words for the kernel command line.
    pub(crate) fn append(self) -> Vec<String> {
        match self {
            Self::Default => Vec::new(),
            Self::MultipathOff => vec!["nvme_core.multipath=N".to_owned()],
        }
    }
}

/// What a case cannot do without; where it is missing the case is ignored by name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Need {
    /// A module of the kernel.
    Module(&'static str),
    /// nvme-cli, to compare with.
    NvmeCli,
    /// csi-sanity, the conformance suite.
    CsiSanity,
    /// The time of `cargo lab faults`: the kernel is among those that `LAB_FAULTS` names.
    Faults,
}

/// One case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    /// A sentence of fact.
    pub(crate) name: &'static str,
    pub(crate) profile: Profile,
    pub(crate) need: Option<Need>,
    /// Panics where the fact does not hold.
    pub(crate) run: fn(),
}

impl Case {
    pub(crate) const fn new(name: &'static str, run: fn()) -> Self {
        Self {
            name,
            profile: Profile::Default,
            need: None,
            run,
        }
    }

    pub(crate) const fn on(self, profile: Profile) -> Self {
        Self { profile, ..self }
    }

    pub(crate) const fn needs(self, need: Need) -> Self {
        Self {
            need: Some(need),
            ..self
        }
    }
}
