//! `cargo lab faults`: what happens to volumes when their targets fail, on every kernel.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread;

use kernel_lab::Suite;
use kernel_lab::faults::Faults;

use super::{Outcome, cargo, setup};

/// Set up, then run every row of the table of faults and print the table
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// bookworm, trixie, sid, with commas between them, or all
    #[arg(long, default_value = "all")]
    kernels: String,
    /// Only rows whose names contain this
    #[arg(default_value = "row_")]
    rows: String,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let suites = setup::suites(Some(&arguments.kernels))?;
    setup::prepare(&suites)?;
    let names = Suite::list(&suites);
    eprintln!("lab: building the tests: some minutes where nothing was built before, else seconds");
    let mut tests = cargo();
    tests
        .args([
            "test",
            "--package",
            "kernel-cases",
            "--test",
            "kernel",
            "--",
        ])
        .arg(&arguments.rows)
        .env("LAB_KERNELS", &names)
        .env("LAB_REQUIRED", "1")
        .env_remove("LAB_CASES")
        .env("LAB_ROUNDS", "all")
        .env("LAB_FAULTS", names);
    let faults = Mutex::new(Faults::new(&suites));
    let status = watch(&mut tests, &faults)?;
    let faults = faults.into_inner().expect("no panic holds the lock");
    writeln!(io::stdout(), "\n{faults}")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs the tests; what they print is shown as it comes, and goes into the table.
fn watch(tests: &mut Command, faults: &Mutex<Faults>) -> io::Result<ExitStatus> {
    let mut child = tests
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        let errors = scope.spawn(|| pass_on(err, &mut io::stderr(), faults));
        let shown = pass_on(out, &mut io::stdout(), faults);
        shown.and(errors.join().expect("no panic"))
    })?;
    child.wait()
}

fn pass_on(from: Option<impl Read>, to: &mut impl Write, faults: &Mutex<Faults>) -> io::Result<()> {
    for line in from
        .map(BufReader::new)
        .into_iter()
        .flat_map(BufRead::lines)
    {
        let line = line?;
        writeln!(to, "{line}")?;
        faults.lock().expect("no panic holds the lock").hear(&line);
    }
    Ok(())
}
