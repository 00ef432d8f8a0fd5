//! Whether volumes can be attached here: what this machine lacks, and whether kubelet knows us.
//!
//! Looked at anew each time, so that a module loaded later is noticed without a restart.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::host::requirements::{self, Check, Status};

/// What to ask.
#[derive(Debug)]
pub struct Readiness {
    root: PathBuf,
    registration: Mutex<Registration>,
}

/// What kubelet says of this plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registration {
    /// Nothing yet: it looks into its directory when it likes.
    Unheard,
    /// It took us.
    Accepted,
    /// It did not take us, and says why.
    Refused(String),
}

impl Readiness {
    /// Of the machine at `root`.
    #[must_use]
    pub fn of(root: PathBuf) -> Readiness {
        Readiness {
            root,
            registration: Mutex::new(Registration::Unheard),
        }
    }

    /// Notes what kubelet said.
    pub fn note(&self, registration: Registration) {
        *self
            .registration
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = registration;
    }

    /// Everything that is not as it should be; what keeps volumes from being attached has
    /// [`Status::Fail`].
    #[must_use]
    pub fn findings(&self) -> Vec<Check> {
        let mut findings = requirements::check(&self.root);
        findings.retain(|check| check.status != Status::Ok);
        let registration = self.registration.lock();
        let registration = registration.unwrap_or_else(PoisonError::into_inner);
        if let Registration::Refused(error) = &*registration {
            findings.push(Check::bad(
                "registration",
                Status::Fail,
                format!("kubelet refused this plugin: {error}"),
                "see kubelet's log",
            ));
        }
        findings
    }

    /// Whether nothing keeps volumes from being attached.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        is_ready(&self.findings())
    }
}

/// Whether none of `findings` keeps volumes from being attached.
#[must_use]
pub fn is_ready(findings: &[Check]) -> bool {
    findings.iter().all(|check| check.status != Status::Fail)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_module_that_is_loaded_later_makes_it_ready_and_a_refusal_unready() {
        let root = tempfile::tempdir().expect("temporary directory");
        let readiness = Readiness::of(root.path().to_owned());
        assert!(!readiness.is_ready());
        fs::create_dir_all(root.path().join("sys/module/nvme_fabrics")).expect("module");
        fs::create_dir_all(root.path().join("dev")).expect("directory");
        fs::write(root.path().join("dev/nvme-fabrics"), "").expect("device");
        assert!(readiness.is_ready(), "{:?}", readiness.findings());
        readiness.note(Registration::Refused("no such version".to_owned()));
        let findings = readiness.findings();
        assert!(!is_ready(&findings));
        let refusal = findings.last().expect("a finding");
        assert!(refusal.finding.ends_with("no such version"), "{refusal:?}");
        readiness.note(Registration::Accepted);
        assert!(readiness.is_ready());
    }
}
