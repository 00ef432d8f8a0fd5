//! What every verb is.

use super::exit::Failure;
use super::output::{Format, Report};
use crate::config::Config;

/// A verb: three steps.
pub(super) trait Command {
    /// Its arguments, checked.
    type Options;
    /// What it found or did.
    type Report: Report;
    /// Why it could not.
    type Failure: Failure;

    /// The form in which to print the report.
    fn format(&self) -> Format;

    /// Step one: checks the arguments without touching the machine.
    fn options(self) -> Result<Self::Options, Self::Failure>;

    /// Step two: does it.
    fn run(config: &Config, options: Self::Options) -> Result<Self::Report, Self::Failure>;
}
