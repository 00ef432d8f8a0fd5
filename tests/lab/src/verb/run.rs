//! `cargo lab run`: boot a kernel with a program as PID 1.

use std::env;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use kernel_lab::qemu::ConsoleOutput;
use kernel_lab::{Boot, Suite, available};

use super::{Outcome, exit_code};

/// Boot a kernel with a static program as PID 1 and show what it says on ttyS1
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Whose kernel to boot: bookworm, trixie or sid
    #[arg(long, default_value = "trixie")]
    kernel: Suite,
    /// The program; this one when not given
    #[arg(long)]
    init: Option<PathBuf>,
    /// Seconds until the guest must be done
    #[arg(long, default_value = "120")]
    deadline: u64,
    /// Show the kernel's console too
    #[arg(long)]
    console: bool,
    /// Words for the kernel's command line
    #[arg(last = true)]
    append: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let init = match &arguments.init {
        Some(init) => init.clone(),
        None => env::current_exe()?,
    };
    let mut boot = Boot::new(&available(arguments.kernel)?, init);
    boot.append.clone_from(&arguments.append);
    boot.deadline = Duration::from_secs(arguments.deadline);
    if arguments.console {
        boot.console = ConsoleOutput::Stderr;
    }
    let mut written = Ok(());
    let exit = boot.run(&mut |line| {
        let result = writeln!(io::stdout(), "{line}");
        if written.is_ok() {
            written = result;
        }
    })?;
    written?;
    eprintln!(
        "lab: exit {} after {:.1} s; console in {}",
        exit.status,
        exit.elapsed.as_secs_f64(),
        exit.log.display()
    );
    Ok(exit_code(&exit))
}
