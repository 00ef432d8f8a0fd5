//! `doctor`: looks at this machine and says what to do about each finding.
//!
//! Invariant: it changes nothing and asks no target anything. A check that cannot be made is
//! `unknown`, neither good nor bad.

mod controllers;
mod identity;
mod kernel;
mod machine;
mod maps;
mod neighbours;
mod volumes;

use std::convert::Infallible;
use std::io::{self, Write};
use std::path::Path;

use nvme_sysfs::Sysfs;

use super::command::Command;
use super::exit::{Exit, Failure, chain};
use super::line::write_line;
use super::output::{Format, Output, Report, write_json};
use super::state_dir::StateDir;
use crate::config::Config;
use crate::host::host_files::HostFiles;
use crate::host::requirements;

pub(crate) use crate::host::requirements::{Check, Status};

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    state_dir: StateDir,
}

/// All checks, in the order in which they were made.
#[derive(Debug)]
pub struct Examination(Vec<Check>);

impl Failure for Infallible {
    fn exit(&self) -> Exit {
        match *self {}
    }
}

impl Command for Arguments {
    type Options = StateDir;
    type Report = Examination;
    type Failure = Infallible;

    fn format(&self) -> Format {
        self.output.format
    }

    fn options(self) -> Result<StateDir, Infallible> {
        Ok(self.state_dir)
    }

    fn run(config: &Config, state_dir: StateDir) -> Result<Examination, Infallible> {
        Ok(Examination(examine(&config.root, &state_dir)))
    }
}

fn examine(root: &Path, state_dir: &StateDir) -> Vec<Check> {
    let mut checks = requirements::check(root);
    checks.push(kernel::check_options(root));
    checks.push(kernel::check_log(root));
    match Sysfs::at(root).scan() {
        Ok(tree) => {
            checks.push(kernel::check_multipath(&tree));
            checks.push(identity::check(root, &tree));
            checks.extend(controllers::check(&tree));
            checks.extend(kernel::check_unknown(&tree));
        }
        Err(error) => checks.push(Check::bad(
            "controllers",
            Status::Fail,
            format!("the NVMe devices cannot be read: {}", chain(&error)),
            "mount sysfs, or name the directory that has it with --root",
        )),
    }
    let volumes = state_dir.survey(root);
    checks.extend(maps::check(root, &volumes));
    checks.extend(volumes::check(&volumes));
    match HostFiles::find(root) {
        Ok(host) => {
            checks.push(host_files(&host));
            checks.extend(neighbours::check(&host));
            checks.push(machine::check_autoconnect(&host));
            checks.push(machine::check_loss_time(&host));
        }
        Err(error) => checks.push(Check::bad(
            HOST_FILES,
            Status::Unknown,
            format!(
                "{}: udev, LVM, multipathd and nvme-cli of the host were not looked at",
                chain(&error)
            ),
            "run as root with the host's processes (hostPID: true for a pod)",
        )),
    }
    checks.push(machine::check_exclusions(root));
    checks
}

const HOST_FILES: &str = "host files";

/// Says whose programs and configuration the checks that follow are about.
fn host_files(host: &HostFiles) -> Check {
    let root = host.root().display();
    let finding = match host.is_container() {
        true => format!("this is a container: the host's programs are looked for in {root}"),
        false => format!("programs are looked for in {root}"),
    };
    Check::ok(HOST_FILES, finding)
}

impl Report for Examination {
    fn write(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Json => write_json(&self.0, out),
            Format::Human => self.0.iter().try_for_each(|check| write_check(check, out)),
        }
    }

    fn exit(&self) -> Exit {
        if self.0.iter().any(|check| check.status == Status::Fail) {
            Exit::Failed
        } else {
            Exit::Done
        }
    }
}

fn write_check(check: &Check, out: &mut dyn Write) -> io::Result<()> {
    let status = match check.status {
        Status::Ok => "ok",
        Status::Warn => "warn",
        Status::Fail => "FAIL",
        Status::Unknown => "unknown",
    };
    write_line(
        out,
        format_args!("{status:<8}{}: {}", check.name, check.finding),
    )?;
    match &check.what_to_do {
        Some(what) => write_line(out, format_args!("        what to do: {what}")),
        None => Ok(()),
    }
}
