//! `cargo lab test --changed`: the tests that a change touches.

use std::error::Error;
use std::fs;
use std::process::{Command, ExitCode};

use kernel_lab::changed::Selection;
use kernel_lab::{Suite, place};

use super::{Outcome, cargo};

/// Runs the tests for what differs from this revision, committed or not. Everything that they need is there already.
pub(super) fn run(since: &str, suites: &[Suite], more: &[String]) -> Outcome {
    let paths = differing(since)?;
    let selection = Selection::of(paths.iter().map(String::as_str), |path| {
        fs::read_to_string(place::workspace().join(path)).ok()
    });
    for path in &selection.untested {
        eprintln!("lab: {path}: no test reads it");
    }
    if selection.is_empty() {
        eprintln!(
            "lab: nothing that a test reads differs from {since}; `--changed=REVISION` takes another"
        );
        return Ok(ExitCode::SUCCESS);
    }
    let mut passed = true;
    for arguments in commands(&selection) {
        eprintln!("lab: cargo {}", arguments.join(" "));
        let mut tests = cargo();
        tests.args(&arguments).args(more);
        tests.env("LAB_KERNELS", Suite::list(suites));
        tests.env_remove("LAB_CASES");
        tests.env("LAB_REQUIRED", "1");
        if !selection.kernel {
            let cases: Vec<_> = selection.cases.iter().map(String::as_str).collect();
            // A row whose file was changed runs, also one that the gate runs on one kernel alone.
            tests.env("LAB_CASES", cases.join(","));
            tests.env("LAB_FAULTS", Suite::list(suites));
        }
        passed &= tests.status()?.success();
    }
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The calls of cargo, the quick ones first.
fn commands(selection: &Selection) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for package in &selection.packages {
        match *package {
            // Its other targets are named below.
            "nvmeof-csi" => {
                all.push(vec!["test", "--package", package, "--lib"]);
                all.push(vec!["test", "--package", package, "--doc"]);
            }
            _ => all.push(vec!["test", "--package", package]),
        }
    }
    let mut targets = vec!["test", "--package", "nvmeof-csi"];
    for target in &selection.targets {
        targets.extend(["--test", target]);
    }
    if !selection.targets.is_empty() {
        all.push(targets);
    }
    if selection.kernel || !selection.cases.is_empty() {
        all.push(vec![
            "test",
            "--package",
            "kernel-cases",
            "--test",
            "kernel",
        ]);
    }
    let owned = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect();
    all.into_iter().map(owned).collect()
}

/// The files that differ from a revision, and those that git does not know yet.
fn differing(since: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let mut paths = git(&["diff", "--name-only", since])?;
    paths.extend(git(&["ls-files", "--others", "--exclude-standard"])?);
    Ok(paths)
}

fn git(arguments: &[&str]) -> Result<Vec<String>, Box<dyn Error>> {
    let mut git = Command::new("git");
    let output = git.current_dir(place::workspace()).args(arguments).output();
    let output = output.map_err(|error| format!("git: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("git {}: {}", arguments.join(" "), said.trim()).into());
    }
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().map(str::to_owned).collect())
}
