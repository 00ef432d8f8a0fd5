//! One file per verb of the command line.

pub(crate) mod capture;
mod changed;
pub(crate) mod cluster;
pub(crate) mod demo;
pub(crate) mod faults;
pub(crate) mod image_packages;
pub(crate) mod kernels;
pub(crate) mod run;
pub(crate) mod setup;
pub(crate) mod test;

use std::env;
use std::error::Error;
use std::process::{Command, ExitCode};

use kernel_lab::GuestExit;

/// What a verb returns: its exit code, or an error that is printed with all its causes.
pub(crate) type Outcome = Result<ExitCode, Box<dyn Error>>;

/// The cargo that started us, in the workspace's directory.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(kernel_lab::place::workspace());
    // What the outer cargo says of this package: build scripts that look at it would run anew each time.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&*name);
        }
    }
    cargo
}

/// A guest's exit status as ours.
pub(crate) fn exit_code(exit: &GuestExit) -> ExitCode {
    ExitCode::from(u8::try_from(exit.status).unwrap_or(1))
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The crates of a build, each with its features.
    fn crates(packages: &[&str], edges: &str) -> BTreeSet<String> {
        let mut tree = cargo();
        tree.args(["tree", "--locked", "--offline", "--prefix", "none"])
            .args(["--format", "{p} {f}", "--edges", edges])
            .args(packages);
        let output = tree.output().expect("cargo starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        let without_marks = |line: &str| line.trim_end_matches(" (*)").to_owned();
        lines.lines().map(without_marks).collect()
    }

    #[test]
    fn whatever_is_built_the_crates_are_those_of_the_whole_workspace() {
        let all = crates(&["--workspace"], "normal,build,dev");
        for (packages, edges) in [
            // `cargo lab`, before it builds anything.
            (["--package", "kernel-lab"].as_slice(), "normal,build"),
            // `cargo demo` and `cargo lab faults`.
            (&["--package", "kernel-cases"], "normal,build,dev"),
            // `cargo lab cluster`.
            (&["--package", "nvmeof-csi"], "normal,build,dev"),
            // `cargo doc`.
            (&["--workspace"], "normal,build"),
        ] {
            let some = crates(packages, edges);
            let others: Vec<_> = some.difference(&all).collect();
            let place = "state the features in [workspace.dependencies], or beside those of kernel-cases and kernel-lab";
            assert!(
                others.is_empty(),
                "{packages:?}: {others:?} would be compiled again; {place}"
            );
        }
    }
}
