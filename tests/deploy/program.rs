//! The program agrees with what is shipped for it.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output};

use nvmeof_csi::host::privileges::NEEDED;

use crate::controller;
use crate::daemonset::{argument, arguments};
use crate::files::text;

#[test]
fn the_modules_that_doctor_asks_for_are_loaded_at_boot() {
    let file = text("modules-load.d/nvmeof-csi.conf");
    let shipped: BTreeSet<&str> = file.lines().filter(|line| !line.starts_with('#')).collect();
    // On a machine without any module, doctor asks for every one.
    let root = tempfile::tempdir().expect("a directory");
    fs::create_dir_all(root.path().join("sys/class")).expect("a directory");
    let root = root.path().to_str().expect("a path of letters");
    // The exit code says that something is missing.
    let output = run(&["--root", root, "doctor"]);
    let findings = String::from_utf8(output.stdout).expect("text");
    let asked: BTreeSet<&str> = findings
        .split("add the line `")
        .skip(1)
        .map(|rest| rest.split_once('`').expect("its end").0)
        .collect();
    assert_eq!(shipped, asked, "{findings}");
}

#[test]
fn node_and_controller_accept_their_arguments() {
    for mut words in [arguments(), controller::arguments()] {
        // The help comes only when everything before it was understood.
        words.push("--help".to_owned());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let help = help(&words);
        for option in words[1..].iter().filter_map(|word| word.split('=').next()) {
            assert!(help.contains(option), "{option} is not in {help}");
        }
    }
}

#[test]
fn the_arguments_that_the_manifests_repeat_are_the_defaults() {
    let help = help(&["node", "--help"]);
    for option in ["--driver-name", "--kubelet-dir", "--admin-address"] {
        assert_eq!(argument(option), default(&help, option), "{option}");
    }
}

#[test]
fn the_capabilities_that_the_program_keeps_are_those_of_the_table() {
    let page = text("README.md");
    let table = page
        .split_once("| capability | what for |")
        .expect("a table")
        .1;
    let table = table.split_once("\n\n").expect("its end").0;
    let rows = table.lines().filter(|line| line.starts_with("| CAP_"));
    let listed: Vec<&str> = rows.filter_map(|row| row.split(' ').nth(1)).collect();
    assert_eq!(listed, NEEDED.map(|(name, _)| name));
}

/// The default that a help text shows for an option.
fn default<'a>(help: &'a str, option: &str) -> &'a str {
    let of_option = help.split_once(&format!("{option} <"));
    let after = of_option.expect("the option is in the help").1;
    let default = after.split_once("[default: ").expect("a default").1;
    default.split_once(']').expect("its end").0
}

fn help(words: &[&str]) -> String {
    let output = run(words);
    assert!(output.status.success(), "{words:?}: {output:#?}");
    String::from_utf8(output.stdout).expect("text")
}

fn run(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nvmeof-csi"));
    command.args(words).env_remove("NVMEOF_ROOT");
    command.output().expect("it starts")
}
