//! The controllers that are to go, and how they go one after the other.
//!
//! Invariant: what is deleted is what was looked at. Each controller is held from before the first
//! look, so that its number cannot come to mean another one, and the machine is read again before
//! each deletion: a disk that came into use or lost its other path meanwhile stops the rest.

use std::path::PathBuf;
use std::time::Duration;

use nvme_fabrics::{DisconnectError, Disconnected, Fabrics, Leaving};
use nvme_sysfs::{Controller, Nqn, Sysfs};

use super::in_use::{InUse, refuse_in_use};
use super::{DisconnectFailure, Disconnection, Options};
use crate::cli::exit::chain;
use crate::cli::interrupt::Stop;
use crate::config::Config;

/// The controllers that are to go; none is PCIe or excluded.
#[derive(Debug)]
pub(super) struct Plan {
    root: PathBuf,
    in_use: InUse,
    timeout: Duration,
    controllers: Vec<(Leaving, Nqn)>,
}

impl Plan {
    pub(super) fn make(config: &Config, options: &Options) -> Result<Plan, DisconnectFailure> {
        let fabrics = Fabrics::at(&config.root);
        let tree = Sysfs::at(&config.root).scan()?;
        let chosen: Vec<_> = tree
            .controllers()
            .filter(|controller| options.target.includes(controller))
            .map(|controller| Ok((controller, fabrics.hold(controller.instance)?)))
            .collect::<Result<_, DisconnectError>>()?;
        let mut controllers = Vec::new();
        for (controller, held) in chosen {
            let nqn = subsystem_of(controller)?;
            controllers.extend(held.map(|held| (held, nqn)));
        }
        Ok(Plan {
            root: config.root.clone(),
            in_use: options.in_use,
            timeout: options.timeout,
            controllers,
        })
    }

    pub(super) fn names(&self) -> Vec<String> {
        let controllers = self.controllers.iter();
        controllers
            .map(|(held, _)| held.controller().to_string())
            .collect()
    }

    /// Goes on to the next controller past an error of the kernel, but not past a refusal, and ends
    /// with the first error.
    pub(super) fn carry_out(mut self, stop: &Stop) -> Result<Disconnection, DisconnectFailure> {
        let mut done = Disconnection::default();
        let mut first_error = None;
        let mut stayed = 0;
        while stayed < self.controllers.len() && !stop.is_requested() {
            let Err(error) = self.disconnect(stayed, &mut done, stop) else {
                self.controllers.remove(stayed);
                continue;
            };
            // It may still go, so it remains among those that leave.
            stayed += 1;
            let goes_on = matches!(error, DisconnectFailure::Disconnect(_));
            if first_error.is_none() {
                first_error = Some(error);
            } else {
                tracing::error!(error = chain(&error), "cannot disconnect");
            }
            if !goes_on {
                break;
            }
        }
        match first_error {
            Some(error) => Err(error.after(done)),
            None => Ok(done),
        }
    }

    fn disconnect(
        &self,
        index: usize,
        done: &mut Disconnection,
        stop: &Stop,
    ) -> Result<(), DisconnectFailure> {
        done.add_unchecked(self.look()?);
        let (held, nqn) = &self.controllers[index];
        let controller = held.controller();
        tracing::info!(%controller, %nqn, "disconnecting");
        let outcome = held.disconnect(nqn, self.timeout, &|| stop.is_requested())?;
        if outcome == Disconnected::Deleted {
            done.disconnected.push(controller.to_string());
        }
        Ok(())
    }

    /// Refuses if a disk in use would go with all that have not gone yet; returns what could not be
    /// looked at. What is read of a number here is of the held controller: should that be gone, its
    /// deletion finds nothing.
    fn look(&self) -> Result<Vec<String>, DisconnectFailure> {
        if self.in_use == InUse::Force {
            return Ok(Vec::new());
        }
        let controllers = self.controllers.iter();
        let leaving: Vec<_> = controllers.map(|(held, _)| held.controller()).collect();
        let tree = Sysfs::at(&self.root).scan()?;
        refuse_in_use(&self.root, &tree, &leaving)
    }
}

fn subsystem_of(found: &Controller) -> Result<Nqn, DisconnectFailure> {
    let controller = found.instance;
    let Some(name) = &found.subsysnqn_text else {
        return Err(DisconnectFailure::Unidentified { controller });
    };
    match name.parse() {
        Ok(nqn) => Ok(nqn),
        Err(source) => Err(DisconnectFailure::Name {
            controller,
            name: name.clone(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::cli::disconnect::Target;

    const ANA: &str = "sys/devices/virtual/nvme-fabrics/ctl/";

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("a file");
    }

    #[test]
    fn a_path_that_became_the_last_one_of_a_disk_in_use_does_not_go() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/sysfs");
        let tree = fixtures.join("trixie-two-paths-ana.tree");
        let root = kernel_lab::tree::unpack(&tree).expect("a captured tree");
        let mount = "9 1 259:1 / /data rw - ext4 /dev/nvme0n1 rw\n";
        write(root.path(), "proc/77/mountinfo", mount);
        let config = Config {
            root: root.path().to_owned(),
            log_format: crate::config::LogFormat::Text,
        };
        let options = Options {
            target: Target::Controller("nvme1".parse().expect("a number")),
            in_use: InUse::Refuse,
            timeout: Duration::ZERO,
        };
        let plan = Plan::make(&config, &options).expect("the other path is the better one");
        for (path, state) in [
            ("nvme0/nvme0c0n1", "inaccessible\n"),
            ("nvme1/nvme0c1n1", "optimized\n"),
        ] {
            write(root.path(), &format!("{ANA}{path}/ana_state"), state);
        }
        let error = plan.carry_out(&Stop::default()).expect_err("the last path");
        assert!(
            matches!(error, DisconnectFailure::InUse { .. }),
            "{error:?}"
        );
        let order = root.path().join(ANA).join("nvme1/delete_controller");
        assert_eq!(fs::read_to_string(order).expect("a file"), "");
    }
}
