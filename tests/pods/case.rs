//! What a case is.

use crate::cluster::Cluster;

/// Who runs a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Every run of all tests.
    Always,
    /// `cargo lab cluster test`, which sets `LAB_CLUSTER=all`.
    Asked,
}

/// One case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    /// A sentence of fact.
    pub(crate) name: &'static str,
    pub(crate) when: When,
    /// Panics where the fact does not hold.
    pub(crate) run: fn(&Cluster),
}

impl Case {
    pub(crate) const fn always(name: &'static str, run: fn(&Cluster)) -> Self {
        let when = When::Always;
        Self { name, when, run }
    }

    pub(crate) const fn asked(name: &'static str, run: fn(&Cluster)) -> Self {
        let when = When::Asked;
        Self { name, when, run }
    }
}
