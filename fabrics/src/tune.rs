//! Changes the loss behaviour of a controller while it is in use.
//!
//! Attributes `reconnect_delay`, `ctrl_loss_tmo` (since 5.9) and `fast_io_fail_tmo` (since 5.13)
//! of the controller. The kernel keeps ctrl_loss_tmo as a number of attempts, so it changes with
//! reconnect_delay; here it stays what it was unless it is tuned too. The kernel divides by
//! reconnect_delay when ctrl_loss_tmo is written: a zero in it must never meet such a write.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use nvme_sysfs::{ControllerLoss, FastIoFail, Instance, Nqn};

use crate::fabrics::Fabrics;
use crate::held::{Belongs, HeldController};
use crate::tuning::{self, is_whole};

/// What to change; `None` leaves a value as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tuning {
    /// When the kernel gives the lost controller up.
    pub ctrl_loss_tmo: Option<ControllerLoss>,
    /// Time between two attempts, 1 to 65535 s.
    pub reconnect_delay: Option<Duration>,
    /// When I/O of a lost path fails.
    pub fast_io_fail_tmo: Option<FastIoFail>,
}

/// Why a controller could not be tuned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TuneError {
    /// A time is out of range or has a fraction of a second.
    #[error("{attribute} {}s must be whole seconds from {least} to {most}", value.as_secs_f64())]
    Value {
        /// Which.
        attribute: &'static str,
        /// The time.
        value: Duration,
        /// Least allowed.
        least: u64,
        /// Most allowed.
        most: u64,
    },
    /// The controller does not exist, or does not have the attribute.
    #[error("{controller} is gone or has no {attribute}")]
    Missing {
        /// Which controller.
        controller: Instance,
        /// Which attribute.
        attribute: &'static str,
    },
    /// The number belongs to another subsystem now.
    #[error("{controller} belongs to {found}, not to {expected}")]
    OtherSubsystem {
        /// Which.
        controller: Instance,
        /// What it belongs to, as the kernel prints it.
        found: String,
        /// What it was expected to belong to.
        expected: Nqn,
    },
    /// Somebody wrote a reconnect_delay of 0; the kernel would divide by it.
    #[error("{controller} has a reconnect_delay of 0: set one before ctrl_loss_tmo")]
    ZeroDelay {
        /// Which.
        controller: Instance,
    },
    /// The kernel shows a value that cannot be understood.
    #[error("{} is {value:?}, which is no time", path.display())]
    Malformed {
        /// The attribute.
        path: PathBuf,
        /// What it says.
        value: String,
    },
    /// The kernel took the value and shows another one.
    #[error("{} is {found:?} after writing {written}", path.display())]
    NotKept {
        /// The attribute.
        path: PathBuf,
        /// What was written.
        written: String,
        /// What it says.
        found: String,
    },
    /// An attribute could not be read or written.
    #[error("cannot access {}", path.display())]
    Attribute {
        /// The attribute.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
}

/// The controller that is being tuned.
struct Tuned {
    controller: Instance,
    held: HeldController,
}

impl Fabrics {
    /// Tunes `nvmeN` if it still belongs to `expected_nqn`, and verifies what the kernel shows.
    ///
    /// # Errors
    /// See [`TuneError`]; what was written before an error stays written.
    pub fn tune(
        &self,
        controller: Instance,
        expected_nqn: &Nqn,
        tuning: &Tuning,
    ) -> Result<(), TuneError> {
        check_values(tuning)?;
        let tuned = Tuned::open(self, controller, expected_nqn)?;
        let loss = match (tuning.ctrl_loss_tmo, tuning.reconnect_delay) {
            (Some(loss), _) => Some(loss),
            (None, Some(_)) => Some(tuned.ctrl_loss_tmo()?),
            (None, None) => None,
        };
        if let Some(delay) = tuning.reconnect_delay {
            let text = delay.as_secs().to_string();
            tuned.write("reconnect_delay", &text, &text)?;
        }
        if let Some(loss) = loss {
            tuned.write_ctrl_loss_tmo(loss)?;
        }
        if let Some(limit) = tuning.fast_io_fail_tmo {
            let shown = match limit {
                FastIoFail::After(limit) => limit.as_secs().to_string(),
                FastIoFail::Off => "off".to_owned(),
            };
            tuned.write("fast_io_fail_tmo", &tuning::fast_io_fail(&limit), &shown)?;
        }
        Ok(())
    }
}

impl Tuned {
    fn open(fabrics: &Fabrics, controller: Instance, expected: &Nqn) -> Result<Tuned, TuneError> {
        const ATTRIBUTE: &str = "subsysnqn";
        let attribute = ATTRIBUTE;
        let gone = || TuneError::Missing {
            controller,
            attribute,
        };
        let failed = |source| {
            let class = fabrics.root().join("sys/class/nvme");
            let path = class.join(controller.to_string()).join(attribute);
            TuneError::Attribute { path, source }
        };
        let held = HeldController::open(fabrics.root(), controller)
            .map_err(failed)?
            .ok_or_else(gone)?;
        match held.belongs_to(expected).map_err(failed)? {
            Belongs::Here => Ok(Tuned { controller, held }),
            Belongs::Elsewhere(found) => Err(TuneError::OtherSubsystem {
                controller,
                found,
                expected: expected.clone(),
            }),
            Belongs::Gone | Belongs::Nowhere => Err(gone()),
        }
    }

    fn read(&self, attribute: &'static str) -> Result<String, TuneError> {
        let text = self
            .held
            .read(attribute)
            .map_err(|source| self.failed(attribute, source))?;
        text.ok_or(TuneError::Missing {
            controller: self.controller,
            attribute,
        })
    }

    /// Writes `value` and expects to read `shown`.
    fn write(&self, attribute: &'static str, value: &str, shown: &str) -> Result<(), TuneError> {
        let written = self.held.write(attribute, value);
        let written = written.map_err(|source| self.failed(attribute, source))?;
        written.ok_or(TuneError::Missing {
            controller: self.controller,
            attribute,
        })?;
        let found = self.read(attribute)?;
        if found == shown {
            return Ok(());
        }
        Err(TuneError::NotKept {
            path: self.held.path().join(attribute),
            written: value.to_owned(),
            found,
        })
    }

    fn ctrl_loss_tmo(&self) -> Result<ControllerLoss, TuneError> {
        match self.read("ctrl_loss_tmo")?.as_str() {
            "off" => Ok(ControllerLoss::Never),
            text => Ok(ControllerLoss::After(Duration::from_secs(
                self.number("ctrl_loss_tmo", text)?,
            ))),
        }
    }

    /// The kernel rounds up to whole attempts and shows attempts times delay.
    fn write_ctrl_loss_tmo(&self, loss: ControllerLoss) -> Result<(), TuneError> {
        let delay = self.number("reconnect_delay", &self.read("reconnect_delay")?)?;
        let controller = self.controller;
        let shown = match loss {
            _ if delay == 0 => return Err(TuneError::ZeroDelay { controller }),
            ControllerLoss::Never => "off".to_owned(),
            ControllerLoss::After(limit) => {
                (limit.as_secs().div_ceil(delay).saturating_mul(delay)).to_string()
            }
        };
        self.write("ctrl_loss_tmo", &tuning::loss(&loss), &shown)
    }

    fn number(&self, attribute: &'static str, text: &str) -> Result<u64, TuneError> {
        text.parse().map_err(|_| TuneError::Malformed {
            path: self.held.path().join(attribute),
            value: text.to_owned(),
        })
    }

    fn failed(&self, attribute: &'static str, source: io::Error) -> TuneError {
        let path = self.held.path().join(attribute);
        TuneError::Attribute { path, source }
    }
}

fn check_values(tuning: &Tuning) -> Result<(), TuneError> {
    // Rounded up to whole attempts, the kernel must still be able to show it as an int.
    const MOST: u64 = 2_147_483_647 - 65535;
    let loss = match tuning.ctrl_loss_tmo {
        Some(ControllerLoss::After(limit)) => Some(limit),
        Some(ControllerLoss::Never) | None => None,
    };
    let fail = match tuning.fast_io_fail_tmo {
        Some(FastIoFail::After(limit)) => Some(limit),
        Some(FastIoFail::Off) | None => None,
    };
    for (attribute, value, least, most) in [
        ("ctrl_loss_tmo", loss, 0, MOST),
        ("reconnect_delay", tuning.reconnect_delay, 1, 65535),
        ("fast_io_fail_tmo", fail, 0, MOST),
    ] {
        if let Some(value) = value.filter(|value| !is_whole(*value, &(least..=most))) {
            return Err(TuneError::Value {
                attribute,
                value,
                least,
                most,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::fixture::{attribute, host, volume};

    const fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    fn tune(root: &TempDir, tuning: &Tuning) -> Result<(), TuneError> {
        Fabrics::at(root.path()).tune(Instance(0), &volume(), tuning)
    }

    fn read(root: &TempDir, name: &str) -> String {
        fs::read_to_string(attribute(root, "nvme0", name)).expect(name)
    }

    fn set(root: &TempDir, name: &str, text: &str) {
        fs::write(attribute(root, "nvme0", name), text).expect(name);
    }

    #[test]
    fn what_is_tuned_is_written_in_decimal_seconds() {
        let root = host("trixie-one-path");
        let tuning = Tuning {
            ctrl_loss_tmo: Some(ControllerLoss::After(seconds(30))),
            reconnect_delay: Some(seconds(5)),
            fast_io_fail_tmo: Some(FastIoFail::After(seconds(15))),
        };
        tune(&root, &tuning).expect("tuned");
        assert_eq!(read(&root, "ctrl_loss_tmo"), "30");
        assert_eq!(read(&root, "reconnect_delay"), "5");
        assert_eq!(read(&root, "fast_io_fail_tmo"), "15");
    }

    #[test]
    fn a_time_of_nothing_is_told_in_seconds() {
        let tuning = Tuning {
            reconnect_delay: Some(Duration::ZERO),
            ..Tuning::default()
        };
        let error = tune(&host("trixie-one-path"), &tuning).expect_err("too short");
        let expected = "reconnect_delay 0s must be whole seconds from 1 to 65535";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn ctrl_loss_tmo_stays_when_only_the_delay_is_tuned() {
        let root = host("trixie-one-path");
        set(&root, "ctrl_loss_tmo", "600\n");
        let tuning = Tuning {
            reconnect_delay: Some(seconds(5)),
            ..Tuning::default()
        };
        tune(&root, &tuning).expect("tuned");
        assert_eq!(read(&root, "ctrl_loss_tmo"), "600");
    }

    #[test]
    fn a_value_that_the_kernel_shows_otherwise_is_an_error() {
        let root = host("trixie-one-path");
        let never = Tuning {
            ctrl_loss_tmo: Some(ControllerLoss::Never),
            ..Tuning::default()
        };
        // A plain file keeps the -1 that the kernel would show as "off".
        let error = tune(&root, &never).expect_err("not kept");
        assert!(
            error.to_string().ends_with("is \"-1\" after writing -1"),
            "{error}"
        );
    }

    #[test]
    fn a_delay_of_zero_never_meets_a_write_of_ctrl_loss_tmo() {
        let root = host("trixie-one-path");
        set(&root, "reconnect_delay", "0\n");
        set(&root, "ctrl_loss_tmo", "600\n");
        let loss = Some(ControllerLoss::After(seconds(60)));
        let mut tuning = Tuning {
            ctrl_loss_tmo: loss,
            ..Tuning::default()
        };
        let error = tune(&root, &tuning).expect_err("a division by zero");
        assert!(matches!(error, TuneError::ZeroDelay { .. }), "{error:?}");
        assert_eq!(read(&root, "ctrl_loss_tmo"), "600\n");
        tuning.reconnect_delay = Some(seconds(2));
        tune(&root, &tuning).expect("the delay is written first");
        assert_eq!(read(&root, "ctrl_loss_tmo"), "60");
    }

    #[test]
    fn times_out_of_range_are_refused_before_anything_is_written() {
        let root = host("trixie-one-path");
        let before = read(&root, "reconnect_delay");
        for delay in [seconds(0), seconds(65536), Duration::from_millis(2500)] {
            let tuning = Tuning {
                reconnect_delay: Some(delay),
                ..Tuning::default()
            };
            let error = tune(&root, &tuning).expect_err("out of range");
            assert!(error.to_string().starts_with("reconnect_delay "), "{error}");
        }
        assert_eq!(read(&root, "reconnect_delay"), before);
    }

    #[test]
    fn another_subsystem_and_a_missing_controller_are_refused() {
        let root = host("trixie-one-path");
        let fabrics = Fabrics::at(root.path());
        let other = "nqn.2026-01.org.example:volume-11".parse().expect("a name");
        let error = fabrics.tune(Instance(0), &other, &Tuning::default());
        assert!(
            matches!(error, Err(TuneError::OtherSubsystem { .. })),
            "{error:?}"
        );
        let error = fabrics.tune(Instance(7), &volume(), &Tuning::default());
        assert!(matches!(error, Err(TuneError::Missing { .. })), "{error:?}");
    }
}
