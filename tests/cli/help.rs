//! The help texts: complete, because an option that is not in them does not exist for its users.

use std::path::Path;
use std::process::Command;

use nvme_fabrics::TokenSet;

use crate::common::{Run, captured, run};

const VERBS: [&str; 14] = [
    "connect",
    "disconnect",
    "discover",
    "list",
    "list-subsys",
    "resolve",
    "rescan",
    "reset",
    "tune",
    "gen-hostnqn",
    "gen-dhchap-key",
    "check-dhchap-key",
    "doctor",
    "release",
];

#[test]
fn every_verb_is_listed_and_explains_itself() {
    let help = run(Path::new("/"), &["--help"]).expect(0).out;
    assert!(
        help.contains("Exit codes: 0 done, 1 failed, 2 wrong use"),
        "{help}"
    );
    for verb in VERBS {
        assert!(
            help.contains(&format!("\n  {verb} ")),
            "{verb} is not in {help}"
        );
        let own = run(Path::new("/"), &[verb, "--help"]).expect(0).out;
        for option in ["--root", "--log-format", "--verbose", "--output"] {
            assert!(
                own.contains(option),
                "{option} is not in the help of {verb}: {own}"
            );
        }
    }
}

#[test]
fn connect_lists_every_option_of_the_kernel_and_files_for_secrets() {
    let help = run(Path::new("/"), &["connect", "--help"]).expect(0).out;
    for token in TokenSet::all().tokens() {
        let option = format!("--{}", token.replace('_', "-"));
        let option = if token.starts_with("dhchap") {
            format!("{option}-file ")
        } else {
            option
        };
        assert!(help.contains(&option), "{option} is not in {help}");
    }
}

/// The letters of nvme-cli's `connect`, but for those of its own files.
#[test]
fn connect_and_discover_list_the_letters_of_nvme_cli() {
    for (verb, letters) in [
        ("connect", "tnaswfqIiWPQkclTDdgGSCo"),
        ("discover", "tnaswfqIiWPQkclTgGSCo"),
    ] {
        let help = run(Path::new("/"), &[verb, "--help"]).expect(0).out;
        for letter in letters.chars() {
            let option = format!("\n  -{letter}, --");
            assert!(help.contains(&option), "-{letter} is not in {help}");
        }
    }
}

#[test]
fn an_unknown_verb_or_option_is_wrong_use() {
    run(Path::new("/"), &[]).expect(2);
    run(Path::new("/"), &["conect"])
        .expect(2)
        .says(&["conect", "connect"]);
    run(Path::new("/"), &["list-subsys", "--nqn", "x"])
        .expect(2)
        .says(&["--nqn"]);
}

#[test]
fn a_root_that_is_no_directory_is_wrong_use() {
    run(Path::new("/nowhere"), &["list-subsys"])
        .expect(2)
        .says(&["--root /nowhere"]);
}

#[test]
fn the_root_may_come_from_the_environment() {
    let root = captured("trixie-one-path");
    let output = Command::new(env!("CARGO_BIN_EXE_nvmeof-csi"))
        .arg("list-subsys")
        .env("NVMEOF_ROOT", root.path())
        .output();
    let run = Run::from(output.expect("it starts")).expect(0);
    assert!(run.out.starts_with("nvme-subsys0 "), "{}", run.out);
}
