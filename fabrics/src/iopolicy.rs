//! How the paths of a subsystem share the I/O: attribute `iopolicy` of the subsystem (since 5.1,
//! drivers/nvme/host/multipath.c).

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use nvme_sysfs::{IoPolicy, Nqn, ScanError, Subsystem};

use crate::fabrics::Fabrics;

/// Why a policy was not set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IoPolicyError {
    /// There is no such subsystem.
    #[error("there is no subsystem {nqn}")]
    Missing {
        /// Its name.
        nqn: Nqn,
    },
    /// The subsystems cannot be read.
    #[error("cannot read the NVMe devices")]
    Scan(#[from] ScanError),
    /// The kernel does not have the attribute or the policy, or refuses it.
    #[error("cannot write {policy} to {}", path.display())]
    Write {
        /// The attribute.
        path: PathBuf,
        /// What was written.
        policy: IoPolicy,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The kernel took the value and shows another one.
    #[error("{} is not {policy} after it was written", path.display())]
    NotKept {
        /// The attribute.
        path: PathBuf,
        /// What was written.
        policy: IoPolicy,
    },
}

impl Fabrics {
    /// Sets the policy of the subsystems of this name, and verifies what the kernel shows. Returns their entries,
    /// `nvme-subsys0`.
    ///
    /// # Errors
    /// [`IoPolicyError`].
    pub fn set_iopolicy(&self, nqn: &Nqn, policy: &IoPolicy) -> Result<Vec<String>, IoPolicyError> {
        let mut set = Vec::new();
        for subsystem in self.named(nqn)? {
            let class = self.root().join("sys/class/nvme-subsystem");
            let path = class.join(&subsystem.name).join("iopolicy");
            let policy = policy.clone();
            let file = fs::File::options().write(true).open(&path);
            let written = file.and_then(|mut file| file.write_all(policy.as_str().as_bytes()));
            if let Err(source) = written {
                return Err(IoPolicyError::Write {
                    path,
                    policy,
                    source,
                });
            }
            let mut shown = self.named(nqn)?.into_iter();
            let is_kept =
                shown.any(|it| it.name == subsystem.name && it.iopolicy.as_ref() == Some(&policy));
            if !is_kept {
                return Err(IoPolicyError::NotKept { path, policy });
            }
            set.push(subsystem.name);
        }
        match set.is_empty() {
            true => Err(IoPolicyError::Missing { nqn: nqn.clone() }),
            false => Ok(set),
        }
    }

    fn named(&self, nqn: &Nqn) -> Result<Vec<Subsystem>, IoPolicyError> {
        let mut tree = self.sysfs().scan_subsystem(nqn)?;
        tree.subsystems.retain(|it| it.nqn.as_ref() == Some(nqn));
        Ok(tree.subsystems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{host, volume};

    #[test]
    fn the_policy_is_written_to_the_subsystem_and_read_back() {
        let root = host("trixie-one-path");
        let fabrics = Fabrics::at(root.path());
        let path = "sys/class/nvme-subsystem/nvme-subsys0/iopolicy";
        let path = root.path().join(path);
        // A plain file keeps what is longer than what is written over it.
        fs::write(&path, "").expect("a file");
        let set = fabrics.set_iopolicy(&volume(), &IoPolicy::RoundRobin);
        assert_eq!(set.expect("set"), ["nvme-subsys0"]);
        assert_eq!(fs::read_to_string(&path).expect("a file"), "round-robin");
        let error = fabrics.set_iopolicy(&volume(), &IoPolicy::Numa);
        assert!(
            matches!(error, Err(IoPolicyError::NotKept { .. })),
            "{error:?}"
        );
    }

    #[test]
    fn another_subsystem_has_no_policy_here() {
        let root = host("trixie-one-path");
        let other = "nqn.2026-01.org.example:other".parse().expect("a name");
        let error = Fabrics::at(root.path()).set_iopolicy(&other, &IoPolicy::Numa);
        assert!(
            matches!(error, Err(IoPolicyError::Missing { .. })),
            "{error:?}"
        );
    }
}
