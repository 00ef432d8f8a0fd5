//! The image's build context, made from Debian packages: its contents, and that its programs run in it alone.
//!
//! Nothing is downloaded here: `deploy/image/get-packages` does that before. What a machine cannot do is ignored by
//! name with the command that helps, or fails where the lab is required (`LAB_REQUIRED=1`).

#![expect(
    clippy::disallowed_methods,
    reason = "these tests run the scripts of deploy/ and the programs of the image"
)]

#[path = "image/context.rs"]
mod context;
#[path = "image/programs.rs"]
mod programs;

use std::process::ExitCode;

use kernel_lab::command::find_program;
use libtest_mimic::{Arguments, Failed, Trial};

/// What a test cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// The packages.
    Packages,
    /// Also root, to change into the context.
    Root,
    /// Also buildah.
    Buildah,
}

/// A test: it fails by a panic.
type Test = (&'static str, Need, fn());

const TESTS: [Test; 5] = [
    (
        "the_image_holds_the_program_and_what_mkfs_and_fsck_need_and_nothing_else",
        Need::Packages,
        context::the_image_holds_the_program_and_what_mkfs_and_fsck_need_and_nothing_else,
    ),
    (
        "the_same_inputs_give_the_same_context",
        Need::Packages,
        context::the_same_inputs_give_the_same_context,
    ),
    (
        "a_filesystem_is_made_and_checked_with_nothing_but_the_image",
        Need::Root,
        programs::a_filesystem_is_made_and_checked_with_nothing_but_the_image,
    ),
    (
        "the_program_starts_with_nothing_but_the_image",
        Need::Root,
        programs::the_program_starts_with_nothing_but_the_image,
    ),
    (
        "buildah_builds_the_dockerfile",
        Need::Buildah,
        programs::buildah_builds_the_dockerfile,
    ),
];

fn main() -> ExitCode {
    let trials = TESTS.into_iter().map(trial).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial((name, need, test): Test) -> Trial {
    let required = std::env::var_os("LAB_REQUIRED").is_some_and(|value| value == "1");
    match missing(need) {
        None => Trial::test(name, move || {
            test();
            Ok(())
        }),
        Some(remedy) if required => Trial::test(name, move || Err(Failed::from(remedy))),
        Some(remedy) => Trial::test(name, || Ok(()))
            .with_kind(remedy)
            .with_ignored_flag(true),
    }
}

/// What is missing on this machine, and what helps.
fn missing(need: Need) -> Option<&'static str> {
    if !context::packages().is_dir() {
        return Some("no packages: run deploy/image/get-packages");
    }
    for (program, remedy) in [
        ("dpkg-deb", "dpkg-deb is not installed: use a Debian system"),
        ("readelf", "readelf is not installed: install binutils"),
    ] {
        if find_program(program).is_none() {
            return Some(remedy);
        }
    }
    match need {
        Need::Packages => None,
        Need::Root | Need::Buildah if !nix::unistd::geteuid().is_root() => {
            Some("only root may change into the context: run as root")
        }
        Need::Buildah if find_program("buildah").is_none() => {
            Some("buildah is not installed: run `cargo lab setup`")
        }
        Need::Root | Need::Buildah => None,
    }
}
