//! `cargo demo`: a volume that survives a cut cable, as a timed story on the terminal.

use std::env;
use std::error::Error;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use kernel_lab::initramfs::GuestFile;
use kernel_lab::{Boot, Suite, kernels, programs};

use super::{Outcome, cargo, exit_code, setup};

/// The story takes well under a minute; a busy machine may need more.
const DEADLINE: Duration = Duration::from_secs(300);

/// Show a volume that survives a cut cable, on trixie's kernel (sets up what it needs)
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments) -> Outcome {
    setup::prepare(&[Suite::Trixie])?;
    let program = build_program()?;
    let kernel = kernels::get(Suite::Trixie)?;
    let mut boot = Boot::new(&kernel, env::current_exe()?);
    boot.append = vec!["lab.demo=1".to_owned()];
    boot.files = programs::program("mke2fs", "/sbin/mke2fs")?;
    boot.files
        .push(GuestFile::program("/bin/nvmeof-csi", program));
    boot.deadline = DEADLINE;
    let start = Instant::now();
    let mut told = tell(
        start,
        "lab:step QEMU starts a machine without hardware virtualisation",
    );
    let exit = boot.run(&mut |line| {
        if told.is_ok() {
            told = tell(start, line);
        }
    })?;
    told?;
    match exit.status {
        0 => tell(start, "lab:step the end: nothing was lost")?,
        status => {
            eprintln!(
                "lab: the guest ended with {status}; its console is in {}",
                exit.log.display()
            );
        }
    }
    Ok(if exit.status == 0 {
        ExitCode::SUCCESS
    } else {
        exit_code(&exit)
    })
}

/// Builds the product beside this program, with the same profile.
fn build_program() -> Result<PathBuf, Box<dyn Error>> {
    let this = env::current_exe()?;
    let directory = this.parent().ok_or("this program lies in no directory")?;
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    eprintln!("lab: building nvmeof-csi");
    let arguments = [
        "build",
        "--package",
        "nvmeof-csi",
        "--bin",
        "nvmeof-csi",
        "--profile",
        profile,
    ];
    let status = cargo().args(arguments).status()?;
    match status.success() {
        true => Ok(directory.join("nvmeof-csi")),
        false => Err(format!("building nvmeof-csi failed ({status})").into()),
    }
}

/// Writes a line of the story: a step with the time since the start, or what a step printed.
fn tell(start: Instant, line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match line.strip_prefix("lab:step ") {
        Some(step) => writeln!(out, "\n[{:5.1} s] {step}", start.elapsed().as_secs_f64())?,
        None => writeln!(out, "          {line}")?,
    }
    out.flush()
}
