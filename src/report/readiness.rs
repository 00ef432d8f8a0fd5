//! Whether volumes can be attached here: what this machine lacks, and whether kubelet knows us.
//!
//! Looked at anew each time, so that a module loaded later is noticed without a restart.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::host::requirements::{self, Check, Status};

/// What to ask.
#[derive(Debug)]
pub struct Readiness {
    /// Of the machine that has to fit; absent: none has to.
    root: Option<PathBuf>,
    registration: Mutex<Registration>,
}

/// What kubelet says of this plugin. Until it has taken it, it calls it for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registration {
    /// It is not asked to take it.
    Unwanted,
    /// It cannot find it: why there is no socket in its directory.
    Hidden(String),
    /// Nothing yet.
    Unheard,
    /// It has asked for its name and has not decided: first it calls the node, and writes the CSINode.
    Asked,
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
            root: Some(root),
            registration: Mutex::new(Registration::Unwanted),
        }
    }

    /// Of a program that needs nothing of its machine.
    #[must_use]
    pub fn anywhere() -> Readiness {
        Readiness {
            root: None,
            registration: Mutex::new(Registration::Unwanted),
        }
    }

    /// Notes what kubelet said, and returns whether that is news.
    pub fn note(&self, registration: Registration) -> bool {
        let mut known = self.lock();
        let news = *known != registration;
        *known = registration;
        news
    }

    /// What kubelet said last.
    #[must_use]
    pub fn registration(&self) -> Registration {
        self.lock().clone()
    }

    /// Why kubelet does not call this plugin, if it does not.
    #[must_use]
    pub fn unregistered(&self) -> Option<Check> {
        check(&self.lock())
    }

    /// Whether this machine has all that volumes need, whatever kubelet says.
    #[must_use]
    pub fn can_attach(&self) -> bool {
        is_ready(&self.machine())
    }

    /// Everything that is not as it should be; what keeps volumes from being attached has
    /// [`Status::Fail`].
    #[must_use]
    pub fn findings(&self) -> Vec<Check> {
        let mut findings = self.machine();
        findings.retain(|check| check.status != Status::Ok);
        findings.extend(self.unregistered());
        findings
    }

    fn machine(&self) -> Vec<Check> {
        let root = self.root.as_deref();
        root.map(requirements::check).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Registration> {
        let known = self.registration.lock();
        known.unwrap_or_else(PoisonError::into_inner)
    }
}

/// What keeps kubelet from calling this plugin.
fn check(registration: &Registration) -> Option<Check> {
    let (finding, what_to_do) = match registration {
        Registration::Unwanted | Registration::Accepted => return None,
        Registration::Hidden(error) => (
            format!("kubelet cannot find this plugin: {error}"),
            "kubelet's directory plugins_registry (--registration-dir) must be writable here, and the \
             socket in it no other program's; it is tried again by itself",
        ),
        Registration::Unheard => (
            "kubelet has not registered this plugin yet".to_owned(),
            "if this stays: --registration-dir must be the directory plugins_registry of the \
             kubelet of this node; see kubelet's log",
        ),
        Registration::Asked => (
            "kubelet has asked for this plugin and has not registered it yet".to_owned(),
            "if this stays: kubelet cannot write its CSINode; see whether the API server answers, \
             and kubelet's log",
        ),
        Registration::Refused(error) => (
            format!("kubelet refused this plugin: {error}"),
            "see kubelet's log",
        ),
    };
    Some(Check::bad(
        "registration",
        Status::Fail,
        finding,
        what_to_do,
    ))
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
    fn a_module_that_is_loaded_later_makes_it_ready_and_kubelets_silence_or_refusal_unready() {
        let root = tempfile::tempdir().expect("temporary directory");
        let readiness = Readiness::of(root.path().to_owned());
        assert!(!readiness.can_attach() && !is_ready(&readiness.findings()));
        fs::create_dir_all(root.path().join("sys/module/nvme_fabrics")).expect("module");
        fs::create_dir_all(root.path().join("dev")).expect("directory");
        fs::write(root.path().join("dev/nvme-fabrics"), "").expect("device");
        assert!(
            is_ready(&readiness.findings()),
            "{:?}",
            readiness.findings()
        );
        for (said, words) in [
            (Registration::Hidden("no place".to_owned()), "no place"),
            (Registration::Unheard, "has not registered"),
            (Registration::Asked, "has asked"),
            (Registration::Refused("too old".to_owned()), "too old"),
        ] {
            assert!(readiness.note(said.clone()), "news");
            assert!(!readiness.note(said), "no news");
            let findings = readiness.findings();
            assert!(!is_ready(&findings));
            let finding = &findings.last().expect("a finding").finding;
            assert!(finding.contains(words), "{finding}");
            assert!(readiness.can_attach(), "the node lacks nothing");
        }
        readiness.note(Registration::Accepted);
        assert!(is_ready(&readiness.findings()));
    }
}
